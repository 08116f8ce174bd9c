#pragma once
// What it means for a batch that a request got no answer, for every connector that sends HTTP.

#include <string_view>

#include "base/result.h"
#include "connectors/connector.h"

namespace sluice::connectors {

// `error` and `fault` are HttpClient's. `request` names the request for a person: "POST
// https://a.example/in".
SendOutcome failed(const Error& error, Fault fault, std::string_view request);

}  // namespace sluice::connectors
