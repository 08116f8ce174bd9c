#pragma once
// Records as rows of a CSV file: UTF-8, lines end in \n, every value in double quotes (a quote in
// it doubled), nothing between the commas where there is no value.

#include <memory>
#include <string>
#include <string_view>

#include "model/kind.h"

namespace sluice::formats {

// Times become `YYYY-MM-DD HH:mm:ss` in UTC. Volumes have at least 6, costs at least 10 decimals;
// no digit of a number is lost. Threads: none.
class Csv {
 public:
  Csv();
  ~Csv();
  Csv(const Csv&) = delete;
  Csv& operator=(const Csv&) = delete;

  // The line of column names. Usage and events only.
  static const std::string& header(Kind kind);
  // Appends the line of `record`, which is valid.
  void append(std::string& out, Kind kind, std::string_view record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::formats
