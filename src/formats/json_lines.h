#pragma once
#include <string>
#include <string_view>

namespace sluice::formats {

// Appends the record's own bytes as a line; one that holds line breaks is minified.
void append_json_line(std::string& out, std::string_view record);

}  // namespace sluice::formats
