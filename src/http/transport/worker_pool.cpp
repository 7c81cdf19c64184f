// A queue of connections, and threads that are made on demand.
#include "http/transport/worker_pool.h"

#include <system_error>
#include <utility>

#include "core/text.h"
#include "easel/error.h"

namespace easel::http {

void WorkerPool::start(std::size_t count, std::size_t max, std::size_t reserved) {
  max_ = max;
  reserved_ = reserved;
  std::string failure;
  {
    const std::lock_guard lock(mutex_);
    try {
      while (threads_.size() < count) threads_.emplace_back([this] { work(); });
      return;
    } catch (const std::system_error& error) {
      failure = concat("cannot serve with ", count, " threads, the system gave ", threads_.size(), ": ",
                       error.code().message(), "; allow more (ulimit -u), or fewer waiting requests (--max-waiting)");
    }
  }
  end();
  throw Error(ErrorCode::kUnavailable, failure);
}

void WorkerPool::submit(std::unique_ptr<Connection> connection) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(connection));
    queued_ = queue_.size();
    ++busy_;
    if (queue_.size() > idle_) grow();
  }
  changed_.notify_one();
}

// Without another thread the connection waits for one of those there are.
bool WorkerPool::grow() {
  if (threads_.size() >= max_) return false;
  try {
    threads_.emplace_back([this] { work(); });
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

void WorkerPool::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void WorkerPool::work() {
  while (true) {
    std::unique_ptr<Connection> connection;
    {
      std::unique_lock lock(mutex_);
      ++idle_;
      changed_.wait(lock, [this] { return !queue_.empty() || ended_; });
      --idle_;
      if (queue_.empty()) return;
      connection = std::move(queue_.front());
      queue_.pop_front();
      queued_ = queue_.size();
    }
    serve_(std::move(connection));
    --busy_;
  }
}

}  // namespace easel::http
