// A bound on the memory of the decoded images of all requests together.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace easel::http {

/// Memory that the decoded images of requests take while they wait and are used. Thread-safe.
///
/// A small file can decode to hundreds of MiB, and requests may wait for long. An account that holds memory already
/// gets no more than half of it, and leaves a quarter of it to accounts that hold none. What is larger than all of it
/// is accepted while nobody else holds any.
class ImageMemory {
 public:
  /// Gives its memory back when it is destroyed; null: no memory. May outlive the ImageMemory.
  using Place = std::shared_ptr<const void>;

  /// @param bytes  in all
  /// @param wait   longest time that a request waits
  ImageMemory(std::size_t bytes, std::chrono::milliseconds wait);

  /// @return null if there is not so much now
  Place try_take(const std::string& account, std::size_t bytes);
  /// Waits until there is so much. @return null if there was not within the time, or before end_waiting() was called
  Place take(const std::string& account, std::size_t bytes);
  /// Nobody waits from now on, because the server ends.
  void end_waiting();

 private:
  struct State;
  class Holding;

  const std::chrono::milliseconds wait_;
  const std::shared_ptr<State> state_;
};

}  // namespace easel::http
