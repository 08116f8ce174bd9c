#include "ingest/meters.h"

namespace sluice::ingest {
namespace {

using http::ErrorToken;

Counter records_counter(Metrics& metrics, Kind kind) {
  return metrics.counter("sluice_ingest_records_total", "Records stored",
                         {{"kind", std::string(path_name(kind))}});
}

}  // namespace

Meters::Meters(Metrics& metrics)
    : usage_(records_counter(metrics, Kind::Usage)),
      events_(records_counter(metrics, Kind::Event)),
      bytes_(metrics.counter("sluice_ingest_bytes_total", "Bytes of the records stored")),
      unpacked_bytes_(metrics.counter("sluice_ingest_unpacked_bytes_total",
                                      "Bytes that came packed, once unpacked")),
      quarantined_(metrics.counter("sluice_ingest_quarantined_records_total",
                                   "Invalid records put into quarantine")),
      replayed_(metrics.counter("sluice_ingest_replayed_requests_total",
                                "Requests found stored under their idempotency key")),
      seconds_(metrics.histogram_s("sluice_ingest_seconds",
                                   "From a request's last byte to its acknowledgement")) {
  for (const ErrorToken token :
       {ErrorToken::BadHeader, ErrorToken::BadQuery, ErrorToken::BodyTooLarge,
        ErrorToken::Forbidden, ErrorToken::IdempotencyKeyReused, ErrorToken::InvalidRecord,
        ErrorToken::Loop, ErrorToken::MalformedBody, ErrorToken::Overloaded,
        ErrorToken::QuarantineFull, ErrorToken::RateLimited, ErrorToken::RecordTooLarge,
        ErrorToken::StorageUnavailable, ErrorToken::Stopping, ErrorToken::UnsupportedEncoding,
        ErrorToken::UnsupportedMediaType}) {
    rejected_.emplace(token, metrics.counter("sluice_ingest_rejected_requests_total",
                                             "Requests of which nothing was acknowledged",
                                             {{"reason", std::string(http::info(token).token)}}));
  }
}

}  // namespace sluice::ingest
