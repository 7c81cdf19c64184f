#include "http/openai/jobs/fingerprint.h"

#include <openssl/evp.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53

// Without null members; whole numbers as integers. Members are in the order of their names already.
json canonical(const json& value) {
  if (value.is_object()) {
    auto object = json::object();
    for (const auto& [name, member] : value.items()) {
      if (!member.is_null()) object[name] = canonical(member);
    }
    return object;
  }
  if (value.is_array()) {
    auto array = json::array();
    for (const auto& element : value) array.push_back(canonical(element));
    return array;
  }
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (number == std::floor(number) && std::abs(number) < kMaxExactInteger) return static_cast<std::int64_t>(number);
  }
  return value;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    check(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  // With its length, so that no two lists of parts have the same bytes.
  void add(std::string_view part) {
    const auto length = std::to_string(part.size()) + ':';
    check(EVP_DigestUpdate(context_.get(), length.data(), length.size()) == 1);
    check(EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1);
  }
  std::string finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    return {digest.begin(), digest.begin() + length};
  }

 private:
  static void check(bool good) {
    if (!good) throw Error(ErrorCode::kInternal, "OpenSSL could not compute a SHA-256");
  }
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string request_fingerprint(std::string_view route, const json& fields,
                                const std::vector<std::string_view>& files) {
  Sha256 hash;
  hash.add(route);
  hash.add(canonical(fields).dump());
  for (const auto file : files) hash.add(file);
  return hash.finish();
}

}  // namespace easel::http
