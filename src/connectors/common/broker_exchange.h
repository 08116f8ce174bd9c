#pragma once
// What is shown of a batch whose records go to a broker one by one.

#include <initializer_list>
#include <memory>
#include <string_view>
#include <utility>

#include "connectors/connector.h"

namespace sluice::connectors {

// `place`: names and values of what says where they went, without secrets; they stand in the place
// of headers, the records in that of a body, and what became of them in that of an answer.
std::shared_ptr<const Exchange> broker_exchange(
    const RecordBatch& batch,
    std::initializer_list<std::pair<std::string_view, std::string_view>> place,
    const SendOutcome& outcome);

}  // namespace sluice::connectors
