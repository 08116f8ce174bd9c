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
      seconds_(metrics.histogram_s("sluice_ingest_seconds",
                                   "From a request's last byte to its acknowledgement")) {
  for (const ErrorToken token :
       {ErrorToken::BadQuery, ErrorToken::BodyTooLarge, ErrorToken::Forbidden,
        ErrorToken::InvalidRecord, ErrorToken::Loop, ErrorToken::MalformedBody,
        ErrorToken::Overloaded, ErrorToken::RecordTooLarge, ErrorToken::StorageUnavailable,
        ErrorToken::Stopping, ErrorToken::UnsupportedEncoding, ErrorToken::UnsupportedMediaType}) {
    rejected_.emplace(token, metrics.counter("sluice_ingest_rejected_requests_total",
                                             "Requests of which nothing was acknowledged",
                                             {{"reason", std::string(http::info(token).token)}}));
  }
}

}  // namespace sluice::ingest
