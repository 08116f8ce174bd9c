#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace sluice::formats {

// A gzip member, made piece by piece; the same input gives the same bytes, whatever the pieces.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  void append(std::string_view plain, std::string& out);
  void finish(std::string& out);  // nothing more comes

 private:
  struct Stream;
  void run(std::string_view plain, int flush, std::string& out);
  std::unique_ptr<Stream> stream_;
};

}  // namespace sluice::formats
