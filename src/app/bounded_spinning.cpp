// How long OpenMP's threads wait actively for the others, before they let the processor do something else.
//
// libtorch and oneDNN compute with GNU's libgomp, whose threads check a flag in a loop for about three milliseconds. If
// the thread that would set the flag has no processor, because another program uses it, this time is lost, hundreds of
// times in a step. Never to check in a loop costs at rest: the system needs 30 microseconds and more to wake a thread,
// and the operations of a small image are not longer. docs/measurements/load.md has the comparison.
//
// libgomp asks getenv() for GOMP_SPINCOUNT while it is initialized, which is before main and before any code of the
// program that a constructor would run. So the program has a getenv() of its own, which the dynamic linker gives to all
// libraries. It knows a value for this name where the environment has none.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

constexpr std::int64_t kSpinNanoseconds = 100'000;
constexpr std::int64_t kDefaultRounds = 300'000;  // of libgomp

std::int64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{1'000'000'000} * now.tv_sec + now.tv_nsec;
}

/// What libgomp does in a round, besides reading the flag.
void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield" ::: "memory");
#endif
}

/// Rounds that take kSpinNanoseconds on this processor; a round takes 10 to 60 ns.
std::int64_t spin_rounds() {
  constexpr int kTries = 5, kRounds = 200;
  std::int64_t shortest = INT64_MAX;  // in others, the system may have taken the processor away
  for (int i = 0; i < kTries; ++i) {
    const auto start = nanoseconds();
    for (int round = 0; round < kRounds; ++round) pause_processor();
    shortest = std::min(shortest, nanoseconds() - start);
  }
  return std::min(kDefaultRounds, kSpinNanoseconds * kRounds / std::max<std::int64_t>(shortest, 1));
}

/// @return null if the variable is not set
char* value_of(std::string_view name) {
  if (environ == nullptr) return nullptr;  // the C library is not initialized yet
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view entry(*variable);
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) return *variable + name.size() + 1;
  }
  return nullptr;
}

bool has_one_processor() {
  cpu_set_t usable;
  return sched_getaffinity(0, sizeof(usable), &usable) == 0 && CPU_COUNT(&usable) == 1;
}

bool has_one_thread() {
  const char* threads = value_of("OMP_NUM_THREADS");
  return threads != nullptr && std::string_view(threads) == "1";
}

/// @return null where it makes no difference, and where the user has chosen
char* bounded_spin_count() {
  if (value_of("OMP_WAIT_POLICY") != nullptr || has_one_thread() || has_one_processor()) return nullptr;
  static std::array<char, 24> rounds;
  std::snprintf(rounds.data(), rounds.size(), "%lld", static_cast<long long>(spin_rounds()));
  return rounds.data();
}

}  // namespace

/// As the C library's, but for GOMP_SPINCOUNT.
extern "C" [[gnu::visibility("default")]] char* getenv(const char* name) noexcept {
  char* const value = value_of(name);
  return value == nullptr && std::string_view(name) == "GOMP_SPINCOUNT" ? bounded_spin_count() : value;
}
