#pragma once
// What it means for a batch that a request got no answer, and what may be told of one, for every
// connector that sends HTTP.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "connectors/connector.h"

namespace sluice::connectors {

// `error` and `fault` are HttpClient's. `request` names the request for a person: "POST
// https://a.example/in".
SendOutcome failed(const Error& error, Fault fault, std::string_view request);

// The beginning of an answer's body as a part of a sentence: printable ASCII, secrets crossed out.
std::string excerpt(std::string body, const std::vector<std::string>& secrets);

// For settings from the catalog that today's rules refuse, although those of their day took them:
// the stream says so instead of the server not starting.
std::unique_ptr<Connector> make_unusable(Error error);

}  // namespace sluice::connectors
