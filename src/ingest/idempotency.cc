#include "ingest/idempotency.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/assert.h"

namespace sluice::ingest {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    SLUICE_ASSERT(context_ != nullptr);
    SLUICE_ASSERT(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::string_view bytes) {
    SLUICE_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  void add(std::uint64_t number) {
    std::array<char, 8> bytes;
    for (char& byte : bytes) byte = static_cast<char>(std::exchange(number, number >> 8) & 0xff);
    add(std::string_view(bytes.data(), bytes.size()));
  }
  // With its length, so that no two lists of fields look alike.
  void add_field(std::string_view bytes) {
    add(std::uint64_t{bytes.size()});
    add(bytes);
  }
  Hash finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    SLUICE_ASSERT(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
    Hash hash;
    std::copy_n(digest.begin(), hash.size(), hash.begin());
    return hash;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

// Moves records [begin, end) of `group` behind `into`.
void add_missing(std::vector<recordlog::NewRecords>& into, recordlog::NewRecords& group,
                 std::uint32_t part, std::size_t begin, std::size_t end) {
  if (begin == end) return;
  recordlog::NewRecords& missing = into.emplace_back();
  missing.organisation = group.organisation;
  missing.kind = group.kind;
  missing.part = part;
  missing.first = static_cast<std::uint32_t>(begin);
  missing.records.assign(group.records.begin() + static_cast<std::ptrdiff_t>(begin),
                         group.records.begin() + static_cast<std::ptrdiff_t>(end));
}

}  // namespace

Hash hash_of_key(const KeyScope& scope, std::string_view key) {
  Sha256 hash;
  if (scope.identity.bound()) {
    hash.add(1);
    hash.add(scope.identity.organisation->value());
  } else {
    hash.add(0);
    hash.add_field(scope.identity.subject);
  }
  hash.add_field(scope.path);
  hash.add_field(scope.query);
  hash.add_field(key);
  return hash.finish();
}

Hash hash_of_source(std::string_view partition) {
  Sha256 hash;
  hash.add(2);
  hash.add_field(partition);
  return hash.finish();
}

Hash hash_of_body(std::string_view body, const BodyContext& context) {
  Sha256 hash;
  hash.add(context.framing == Framing::Lines ? 1 : 0);
  hash.add(context.own ? 1 : 0);
  hash.add(context.own ? context.own->value() : 0);
  hash.add(body);
  return hash.finish();
}

bool keep_missing(std::vector<recordlog::NewRecords>& groups,
                  std::span<const recordlog::StoredPiece> stored) {
  std::vector<recordlog::NewRecords> missing;
  std::size_t next = 0;  // of `stored`, which is sorted by part and place
  for (std::uint32_t part = 0; part < groups.size(); ++part) {
    recordlog::NewRecords& group = groups[part];
    if (next == stored.size() || stored[next].part != part) {
      group.part = part;
      missing.push_back(std::move(group));
      continue;
    }
    std::size_t begin = 0;
    for (; next < stored.size() && stored[next].part == part; ++next) {
      const std::size_t end = stored[next].first;
      const std::size_t behind = end + stored[next].count;
      if (end < begin || behind > group.records.size()) return false;
      add_missing(missing, group, part, begin, end);
      begin = behind;
    }
    add_missing(missing, group, part, begin, group.records.size());
  }
  if (next < stored.size()) return false;
  groups = std::move(missing);
  return true;
}

bool is_whole(std::span<const recordlog::StoredPiece> stored) {
  std::uint64_t records = 0;
  for (const recordlog::StoredPiece& piece : stored) records += piece.count;
  return !stored.empty() && records == stored.front().mark.accepted;
}

}  // namespace sluice::ingest
