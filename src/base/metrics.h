#pragma once
// Metrics, `sluice_<area>_<noun>_<unit>[_total]`. Label values come from bounded sets (never a
// stream's id, a token, an error text). prometheus-cpp lives in metrics.cc alone.
// Threads: any; add() and set() are atomic and take no lock. Keep the reference, look up once.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

using MetricLabels = std::initializer_list<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(double value = 1) noexcept;
  double value() const noexcept;

 private:
  friend class Metrics;
  explicit Counter(void* implementation) : implementation_(implementation) {}
  void* implementation_;
};

class Gauge {
 public:
  void set(double value) noexcept;
  void add(double value) noexcept;
  double value() const noexcept;

 private:
  friend class Metrics;
  explicit Gauge(void* implementation) : implementation_(implementation) {}
  void* implementation_;
};

class Histogram {
 public:
  void observe(double value) noexcept;

 private:
  friend class Metrics;
  explicit Histogram(void* implementation) : implementation_(implementation) {}
  void* implementation_;
};

// One registry a process (a server owns one, tests make their own). The same name and labels
// give the same metric again.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter counter(const std::string& name, const std::string& help, MetricLabels labels = {});
  Gauge gauge(const std::string& name, const std::string& help, MetricLabels labels = {});
  // Buckets for durations in seconds, 100 us to 100 s.
  Histogram histogram_s(const std::string& name, const std::string& help, MetricLabels labels = {});

  std::string prometheus_text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
