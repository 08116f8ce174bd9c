#include "formats/json_lines.h"

#include <simdjson.h>

#include "base/assert.h"

namespace sluice::formats {

void append_json_line(std::string& out, std::string_view record) {
  if (record.find_first_of("\r\n") == record.npos) {
    out += record;
  } else {
    const std::size_t before = out.size();
    out.resize(before + record.size() + simdjson::SIMDJSON_PADDING);  // whole vectors are stored
    std::size_t size = 0;
    SLUICE_ASSERT(simdjson::minify(record.data(), record.size(), out.data() + before, size) ==
                  simdjson::SUCCESS);
    out.resize(before + size);
  }
  out += '\n';
}

}  // namespace sluice::formats
