#include "cli/body_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::cli {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kSilenceMs = 200;
constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// From the first byte that means something.
std::string_view content(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text;
}

Error system_error(std::string_view name, std::string_view what) {
  return Error{ErrorCode::Io, fmt::format("{}: {}: {}", name, what, std::strerror(errno))};
}

}  // namespace

Result<std::unique_ptr<BodySource>> BodySource::open(const std::string& path,
                                                     std::function<bool()> stopped) {
  const std::string name = path == "-" ? "standard input" : path;
  const int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_error(name, "cannot open");
  return std::make_unique<BodySource>(fd, name, std::move(stopped));
}

BodySource::BodySource(int fd, std::string name, std::function<bool()> stopped)
    : fd_(fd), name_(std::move(name)), stopped_(std::move(stopped)) {
  struct stat status {};
  if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
    bytes_total_ = static_cast<std::uint64_t>(status.st_size);
  }
}

BodySource::~BodySource() {
  if (fd_ >= 0) ::close(fd_);
}

Result<bool> BodySource::fill(Silence silence) {
  for (;;) {
    pollfd poll_fd{fd_, POLLIN, 0};
    const int ready = ::poll(&poll_fd, 1, kSilenceMs);
    if (stopped_()) return Error{ErrorCode::Cancelled, "stopped"};
    if (ready > 0) break;
    if (ready == 0 && silence == Silence::Return) return false;
    if (ready < 0 && errno != EINTR) return system_error(name_, "cannot read");
  }
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kReadBytes);
  const ssize_t got = ::read(fd_, buffer_.data() + before, kReadBytes);
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return system_error(name_, "cannot read");
  at_end_ = got == 0;
  return got > 0;
}

// One object a line if the first line with anything on it ends as it began; a lone line may be
// several objects, which the other form takes too.
Result<void> BodySource::find_form() {
  for (;;) {
    const std::string_view text = content(buffer_);
    if (!text.empty() && text.front() == '[') {
      form_ = BodyForm::Json;
      return {};
    }
    const std::size_t line_end = text.find('\n');
    if (line_end != std::string_view::npos) {
      const std::string_view line = text.substr(0, text.find_last_not_of(kBlank, line_end) + 1);
      form_ = line.front() == '{' && line.back() != '}' ? BodyForm::Json : BodyForm::Lines;
      return {};
    }
    if (at_end_) {
      form_ = text.starts_with('{') ? BodyForm::Json : BodyForm::Lines;
      return {};
    }
    if (buffer_.size() > kWholeBytesMax) {
      form_ = BodyForm::Lines;  // which says what is wrong with a line of that length
      return {};
    }
    const auto read = fill(Silence::Wait);
    if (!read) return read.error();
  }
}

Result<std::optional<Body>> BodySource::next() {
  buffer_.erase(0, taken_);
  taken_ = 0;
  if (!form_) {
    const auto found = find_form();
    if (!found) return found.error();
  }
  return *form_ == BodyForm::Json ? next_whole() : next_lines();
}

Result<std::optional<Body>> BodySource::next_whole() {
  while (!at_end_) {
    if (buffer_.size() > kWholeBytesMax) {
      return Error{ErrorCode::ResourceExhausted,
                   fmt::format("{}: more than {} MiB that are not one object a line; make lines of "
                               "it, with `jq -c '.[]'` from an array",
                               name_, kWholeBytesMax >> 20)};
    }
    const auto read = fill(Silence::Wait);
    if (!read) return read.error();
  }
  return cut(buffer_.size(), BodyForm::Json);
}

Result<std::optional<Body>> BodySource::next_lines() {
  std::size_t searched = 0;
  bool has_line = false;
  while (!at_end_ && (buffer_.size() < kBodyBytes || !has_line)) {
    if (buffer_.size() > kWholeBytesMax) {
      return Error{ErrorCode::ResourceExhausted,
                   fmt::format("{}:{}: a line of more than {} MiB", name_, next_line_,
                               kWholeBytesMax >> 20)};
    }
    has_line = has_line || buffer_.find('\n', searched) != std::string::npos;
    searched = buffer_.size();
    const auto read = fill(has_line ? Silence::Return : Silence::Wait);
    if (!read) return read.error();
    if (!*read) break;
    has_line = has_line || buffer_.find('\n', searched) != std::string::npos;
  }
  if (at_end_ && buffer_.size() <= kBodyBytes) return cut(buffer_.size(), BodyForm::Lines);
  std::size_t line_end = buffer_.rfind('\n', kBodyBytes - 1);
  if (line_end == std::string::npos) line_end = buffer_.find('\n');
  if (line_end == std::string::npos) line_end = buffer_.size() - 1;
  return cut(line_end + 1, BodyForm::Lines);
}

std::optional<Body> BodySource::cut(std::size_t size, BodyForm form) {
  if (size == 0) return std::nullopt;
  const Body body{std::string_view(buffer_).substr(0, size), form, next_line_};
  taken_ = size;
  bytes_taken_ += size;
  next_line_ += static_cast<std::uint64_t>(std::count(body.bytes.begin(), body.bytes.end(), '\n'));
  return body;
}

}  // namespace sluice::cli
