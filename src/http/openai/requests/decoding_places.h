// A bound for the memory that decoding takes.
#pragma once

#include <cstddef>
#include <semaphore>

namespace easel::http {

/// Uploaded images are decoded by two threads at a time, because each may take 256 MiB meanwhile. Others wait.
/// Thread-safe.
class DecodingPlaces {
 public:
  static constexpr std::ptrdiff_t kCount = 2;

  /// Calls `decode` when a place is free, and returns its result. Not to be nested.
  template <class Decode>
  auto use(const Decode& decode) {
    const Place place(places_);
    return decode();
  }

 private:
  using Places = std::counting_semaphore<kCount>;

  class Place {
   public:
    explicit Place(Places& places) : places_(places) { places_.acquire(); }
    ~Place() { places_.release(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    Places& places_;
  };

  Places places_{kCount};
};

}  // namespace easel::http
