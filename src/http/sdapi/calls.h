// The calls of A1111's API that are running, and the model that each account has chosen.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"
#include "http/openai/streaming/progress_feed.h"

namespace easel::http::sdapi {

/// One unfinished txt2img or img2img.
struct Call {
  std::shared_ptr<Job> job;
  std::shared_ptr<ProgressFeed> feed;
};

/// Thread-safe. Accounts are those of http/access: the name of a key, or else an address.
class Calls {
 public:
  /// Lists a call while it exists.
  class Listed {
   public:
    Listed(Calls& calls, std::string account, Call call);
    ~Listed();
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;

   private:
    Calls& calls_;
    const std::string account_;
    const std::shared_ptr<Job> job_;
  };

  /// The account's unfinished calls, oldest first.
  std::vector<Call> of(const std::string& account) const;
  /// Cancels them.
  void interrupt(const std::string& account);

  void choose_model(const std::string& account, std::string model);
  /// Empty: none was chosen.
  std::string chosen_model(const std::string& account) const;

 private:
  /// Choices beyond these are forgotten, an arbitrary one at a time: addresses are easy to have.
  static constexpr std::size_t kMaxChoices = 10'000;

  mutable Mutex mutex_;
  std::map<std::string, std::vector<Call>> running_ EASEL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> models_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel::http::sdapi
