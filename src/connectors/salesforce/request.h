#pragma once
// A batch as a composite request, and what its answer means. Pure.
// Source: "Composite" in Salesforce's REST API Developer Guide.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/common/service_call.h"
#include "connectors/connector.h"
#include "connectors/salesforce/fields.h"

namespace sluice::connectors::salesforce {

inline constexpr std::uint32_t kSubrequestsMax = 25;  // of a composite request

// `event_url`: the path of the event's resource. `own_fields` not empty: instead of the documented
// ones.
std::string composite_of(const RecordBatch& batch, std::string_view event_url,
                         const std::vector<Field>& own_fields);

ServiceError read_error(const egress::HttpResponse& response);

// Of a 2xx: the answers to each subrequest decide.
SendOutcome classify(ServiceAnswer answer, const RecordBatch& batch);

// The fields that an event's description lacks, or has but as ones nobody may set.
std::vector<std::string> missing_fields(const std::string& description,
                                        const std::vector<Field>& wanted);

}  // namespace sluice::connectors::salesforce
