// API keys: those given as options, and those of a file that may change while the server runs.
//
// The file holds no key, only the SHA-256 of each, which is enough for keys drawn at random: there is nothing to guess
// that a slower hash would protect. It is JSON:
//
//   {"keys": [{"name": "ann", "sha256": "9f86d0...", "max_requests": 4, "share": 2, "operator": true}]}
//
// `name` and `sha256` are needed; the others default to no limit, 1 and false. An unknown field is an error.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mutex.h"
#include "http/access/principal.h"

namespace easel::http {

inline constexpr std::size_t kMaxKeyFileBytes = 4 << 20;

/// Thread-safe.
class ApiKeys {
 public:
  /// @param keys        as clients send them; their accounts are called "api-key-1" and so on, and none is an operator
  /// @param file        path; empty: none
  /// @param reload_interval  how often find() looks whether the file has changed
  /// @throws Error(kInvalidArgument)  a key is empty or not writable in a header
  /// @throws Error                    the file cannot be read, or is not as above, or holds no key
  ApiKeys(const std::vector<std::string>& keys, std::string file,
          std::chrono::milliseconds reload_interval = std::chrono::seconds(1));

  /// False when there are none, and everybody may call.
  bool required() const { return required_; }

  /// Whose key this is; none when it is nobody's. Takes the same time wherever in the list the key is.
  /// A changed file counts from within `reload_interval`; one that has become unreadable or wrong is logged, once, and
  /// the keys read before stay.
  std::optional<Principal> find(std::string_view presented);

 private:
  using Digest = std::array<unsigned char, 32>;
  struct KeyRecord {
    Digest digest;
    Principal principal;
  };
  using Table = std::vector<KeyRecord>;
  using Clock = std::chrono::steady_clock;

  static Digest digest_of(std::string_view key);
  static Table parse(const std::string& text, const std::string& file);
  void reload_if_changed();
  std::shared_ptr<const Table> from_file() const;

  Table option_keys_;  // not from the file
  const std::string file_;
  const std::chrono::milliseconds reload_interval_;
  const bool required_;

  Mutex reload_mutex_;
  std::string last_content_ EASEL_GUARDED_BY(reload_mutex_);  // of the file, good or not
  Clock::time_point checked_at_ EASEL_GUARDED_BY(reload_mutex_){};

  mutable Mutex table_mutex_;
  std::shared_ptr<const Table> from_file_ EASEL_GUARDED_BY(table_mutex_);
};

}  // namespace easel::http
