// API keys from options, and from a file that may change while the server runs.
//
// The file contains the SHA-256 of each key instead of the key. A slow hash is not needed, since keys are random and
// cannot be guessed as passwords can. The file is JSON:
//
//   {"keys": [{"name": "ann", "sha256": "9f86d0...", "max_requests": 4, "share": 2, "operator": true}]}
//
// `name` and `sha256` are required; the others default to no limit, 1 and false. An unknown field is an error.
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
  /// @param keys        as clients send them; their accounts are "api-key-1" and so on, and none is an operator
  /// @param file        path; empty: none
  /// @param reload_interval  the shortest time between two looks at whether the file has changed
  /// @throws Error(kInvalidArgument)  a key is empty, or has a comma or characters other than visible ASCII
  /// @throws Error                    the file cannot be read, is not as described above, or contains no key
  ApiKeys(const std::vector<std::string>& keys, std::string file,
          std::chrono::milliseconds reload_interval = std::chrono::seconds(1));

  /// False when there are no keys, and every client may call.
  bool required() const { return required_; }

  /// The principal of this key; none when the key is unknown. The time taken does not depend on which key matches. A
  /// changed file takes effect within `reload_interval`. If the file has become unreadable or invalid, that is logged
  /// once, and the keys read before stay valid.
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
  std::string last_content_ EASEL_GUARDED_BY(reload_mutex_);  // of the file, valid or not
  Clock::time_point checked_at_ EASEL_GUARDED_BY(reload_mutex_){};

  mutable Mutex table_mutex_;
  std::shared_ptr<const Table> from_file_ EASEL_GUARDED_BY(table_mutex_);
};

}  // namespace easel::http
