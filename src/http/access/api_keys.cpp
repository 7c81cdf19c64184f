// Digests are compared in constant time; the file may be replaced at any moment.
#include "http/access/api_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/config.h"
#include "core/digest.h"
#include "core/log.h"
#include "core/text.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr double kMaxShare = 1000.0;
constexpr std::int64_t kMaxRequests = 1'000'000;
const std::set<std::string> kKnownFields = {"name", "sha256", "max_requests", "share", "operator"};

bool is_visible_ascii(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Error corrupt_key_file(const std::string& where, const std::string& what) {
  return Error(ErrorCode::kCorruptData, concat(where, ": ", what));
}

// The whole content. Pipes and devices are refused: reading them could block a request.
std::string read_key_file(const std::string& path) {
  std::error_code failure;
  if (!std::filesystem::is_regular_file(path, failure)) {
    throw Error(ErrorCode::kNotFound,
                concat("the file of API keys ", path, " does not exist, or is not a regular file"));
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text(kMaxKeyFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.eof()) {
    throw Error(ErrorCode::kUnavailable, concat("the file of API keys ", path, " cannot be read, or has more than ",
                                                kMaxKeyFileBytes, " bytes"));
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

// The message has the field's name, but never its value: a key written there by mistake must not reach the log.
void check_known_fields(const nlohmann::json& entry, const std::string& where) {
  for (const auto& [field, value] : entry.items()) {
    if (!kKnownFields.contains(field)) {
      throw corrupt_key_file(where, concat("the field `", field, "` is unknown; expected ",
                                           join({kKnownFields.begin(), kKnownFields.end()})));
    }
  }
}

std::array<unsigned char, 32> read_digest(const nlohmann::json& entry, const std::string& where) {
  const auto found = entry.find("sha256");
  const auto hex = found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
  std::array<unsigned char, 32> digest{};
  bool good = hex.size() == 2 * digest.size();
  for (std::size_t i = 0; good && i < digest.size(); ++i) {
    const auto* const pair = &hex[2 * i];
    good = std::from_chars(pair, pair + 2, digest[i], 16).ptr == pair + 2;
  }
  if (!good) throw corrupt_key_file(where, "`sha256` must be the 64 hexadecimal digits of the key's SHA-256");
  return digest;
}

Principal read_principal(const nlohmann::json& entry, const std::string& where) {
  Config fields(entry, where);
  Principal principal;
  principal.account = fields.get<std::string>("name");
  if (!is_visible_ascii(principal.account) || principal.account.size() > kMaxNameBytes) {
    throw corrupt_key_file(where,
                           concat("`name` must be 1 to ", kMaxNameBytes, " visible ASCII characters without spaces"));
  }
  principal.share = fields.get<double>("share", 1.0);
  if (!(principal.share > 0.0 && principal.share <= kMaxShare)) {
    throw corrupt_key_file(where, concat("`share` must be above 0 and at most ", kMaxShare));
  }
  const auto max_requests = fields.find<std::int64_t>("max_requests");
  if (max_requests && (*max_requests < 1 || *max_requests > kMaxRequests)) {
    throw corrupt_key_file(where, concat("`max_requests` must be from 1 to ", kMaxRequests));
  }
  principal.max_requests = static_cast<std::size_t>(max_requests.value_or(0));
  principal.is_operator = fields.get<bool>("operator", false);
  return principal;
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys, std::string file, std::chrono::milliseconds reload_interval)
    : file_(std::move(file)), reload_interval_(reload_interval), required_(!keys.empty() || !file_.empty()) {
  for (const auto& key : keys) {
    if (!is_visible_ascii(key)) {
      throw Error(ErrorCode::kInvalidArgument, "an API key must be visible ASCII characters without spaces");
    }
    // Earlier versions took it for two keys, of which one could be short.
    if (key.find(',') != std::string::npos) {
      throw Error(ErrorCode::kInvalidArgument,
                  "an API key must not contain a comma: give --api-key once for each key, or list their hashes in a "
                  "file and give --api-keys-file FILE");
    }
    option_keys_.push_back({digest_of(key), {.account = concat("api-key-", option_keys_.size() + 1)}});
  }
  if (file_.empty()) return;
  last_content_ = read_key_file(file_);
  from_file_ = std::make_shared<const Table>(parse(last_content_, file_));
  checked_at_ = Clock::now();
}

ApiKeys::Digest ApiKeys::digest_of(std::string_view key) {
  easel::Digest hash;
  hash.update(key);
  const auto bytes = hash.finish();
  Digest digest{};
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

ApiKeys::Table ApiKeys::parse(const std::string& text, const std::string& file) {
  const auto where = concat("the file of API keys ", file);
  const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool is_list = parsed.is_object() && parsed.size() == 1 && parsed.contains("keys") && parsed["keys"].is_array();
  if (!is_list) throw corrupt_key_file(where, R"(expected {"keys": [{"name": ..., "sha256": ...}, ...]})");
  Table table;
  std::set<std::string> names;
  std::set<Digest> digests;
  for (const auto& entry : parsed["keys"]) {
    const auto entry_where = concat(where, ", key ", table.size() + 1);
    if (!entry.is_object()) throw corrupt_key_file(entry_where, "expected an object");
    check_known_fields(entry, entry_where);
    table.push_back({read_digest(entry, entry_where), read_principal(entry, entry_where)});
    const bool fresh =
        names.insert(table.back().principal.account).second && digests.insert(table.back().digest).second;
    if (!fresh) throw corrupt_key_file(entry_where, "another key has the same `name` or `sha256`");
  }
  if (table.empty()) throw corrupt_key_file(where, "it contains no key, so that no client could call");
  return table;
}

void ApiKeys::reload_if_changed() {
  // While one thread reloads the file, the others continue with the present keys.
  if (!reload_mutex_.try_lock()) return;
  const MutexLock lock(reload_mutex_, std::adopt_lock);
  if (Clock::now() < checked_at_ + reload_interval_) return;
  checked_at_ = Clock::now();
  std::string content;  // compared instead of modification times: a file can change twice within a tick of the clock
  try {
    content = read_key_file(file_);
    if (content == last_content_) return;
    auto table = std::make_shared<const Table>(parse(content, file_));
    log::info("API keys were read again", {{"keys", table->size()}});
    const MutexLock guard(table_mutex_);
    from_file_ = std::move(table);
  } catch (const std::exception& error) {
    // An unreadable file is treated as empty, which a valid one never is: it is logged once, and reloaded when it
    // becomes readable again.
    if (content != last_content_) log::error(concat("the API keys read before stay valid: ", error.what()));
  }
  last_content_ = std::move(content);
}

std::shared_ptr<const ApiKeys::Table> ApiKeys::from_file() const {
  const MutexLock lock(table_mutex_);
  return from_file_;
}

std::optional<Principal> ApiKeys::find(std::string_view presented) {
  if (!file_.empty()) reload_if_changed();
  const auto digest = digest_of(presented);
  const KeyRecord* found = nullptr;
  const auto compare = [&](const KeyRecord& entry) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) found = &entry;
  };
  std::for_each(option_keys_.begin(), option_keys_.end(), compare);
  const auto table = from_file();
  if (table) std::for_each(table->begin(), table->end(), compare);
  return found ? std::optional(found->principal) : std::nullopt;
}

}  // namespace easel::http
