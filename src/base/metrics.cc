#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

namespace sluice {

void Counter::add(double value) noexcept {
  static_cast<prometheus::Counter*>(implementation_)->Increment(value);
}
double Counter::value() const noexcept {
  return static_cast<prometheus::Counter*>(implementation_)->Value();
}
void Gauge::set(double value) noexcept {
  static_cast<prometheus::Gauge*>(implementation_)->Set(value);
}
void Gauge::add(double value) noexcept {
  static_cast<prometheus::Gauge*>(implementation_)->Increment(value);
}
double Gauge::value() const noexcept {
  return static_cast<prometheus::Gauge*>(implementation_)->Value();
}
void Histogram::observe(double value) noexcept {
  static_cast<prometheus::Histogram*>(implementation_)->Observe(value);
}

struct Metrics::Impl {
  prometheus::Registry registry;
};

namespace {

std::map<std::string, std::string> to_map(MetricLabels labels) {
  return {labels.begin(), labels.end()};
}

}  // namespace

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, MetricLabels labels) {
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry);
  return Counter(&family.Add(to_map(labels)));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, MetricLabels labels) {
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry);
  return Gauge(&family.Add(to_map(labels)));
}

Histogram Metrics::histogram_s(const std::string& name, const std::string& help,
                               MetricLabels labels) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  const prometheus::Histogram::BucketBoundaries buckets = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
      0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    100};
  return Histogram(&family.Add(to_map(labels), buckets));
}

std::string Metrics::prometheus_text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace sluice
