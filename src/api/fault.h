#pragma once
// What is wrong with a request's body, property by property, and the answers made of it.

#include <string>
#include <string_view>
#include <vector>

#include "http/error_answer.h"

namespace sluice::api {

struct Fault {
  std::string property;  // "destination.credentials.url"
  std::string message;   // a sentence without the property's name
};

// All faults of one body; beyond kMax they are left out.
class Faults {
 public:
  static constexpr std::size_t kMax = 100;
  static constexpr std::size_t kNameBytesMax = 200;  // a longer name from the request is cut

  void add(std::string_view property, std::string_view message);
  bool empty() const { return list_.empty(); }
  std::size_t size() const { return list_.size(); }
  const std::vector<Fault>& list() const { return list_; }

 private:
  std::vector<Fault> list_;
};

// A POST's answer: one triple, and `errors` with all. `faults` is not empty.
http::Response invalid_stream(const Faults& faults);
// A PATCH's: an array of triples, one a fault.
http::Response invalid_change(const Faults& faults);
// The same with one triple.
http::Response refused_change(http::ErrorToken token, const std::string& message);

// The same for a body that describes no stream.
http::Response invalid_request(const Faults& faults);
http::Response invalid_request_change(const Faults& faults);

}  // namespace sluice::api
