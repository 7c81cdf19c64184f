// How long OpenMP's threads wait actively for the others, before they let the processor do something else.
//
// libtorch and oneDNN compute with GNU's libgomp, whose threads check a flag in a loop for about three milliseconds. If
// the thread that would set the flag has no processor, because another program uses it, this time is lost, hundreds of
// times in a step. Never to check in a loop costs at rest: the system needs 30 microseconds and more to wake a thread,
// and the operations of a small image are not longer. docs/measurements/load.md has the comparison.
//
// libgomp reads its environment before main, so the program sets GOMP_SPINCOUNT and starts itself again. That happens
// before libtorch initialises itself, and takes 0.02 s. It is left out where it makes no difference, and where the
// variable, or OMP_WAIT_POLICY, is set.
#include <sched.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

// No constructor has run yet when these functions do, not even those of the C++ library, so that they use arrays and
// system calls only.

namespace {

constexpr std::int64_t kSpinNanoseconds = 100'000;
constexpr std::int64_t kDefaultRounds = 300'000;  // of libgomp
constexpr std::size_t kMaxVariables = 4096;

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
const char* value_of(std::string_view name, char** environment) {
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) return *environment + name.size() + 1;
  }
  return nullptr;
}

bool has_one_processor() {
  cpu_set_t usable;
  return sched_getaffinity(0, sizeof(usable), &usable) == 0 && CPU_COUNT(&usable) == 1;
}

/// Whether the command generates images; where in doubt, it does.
bool computes(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    for (const char* other : {"models", "pull", "rm", "convert", "health", "completion", "manual"}) {
      if (i == 1 && argument == other) return false;
    }
    for (const char* other : {"--version", "--help", "--help-all", "-h"}) {
      if (argument == other) return false;
    }
  }
  return true;
}

/// Whether another start of /proc/self/exe with the same arguments is another start of this program. It is not where
/// the dynamic linker was called by its name, nor would the linker then take a program with more rights for the same.
bool can_start_again() {
  return getauxval(AT_BASE) != 0 && getauxval(AT_SECURE) == 0;
}

bool has_one_thread(char** environment) {
  const char* threads = value_of("OMP_NUM_THREADS", environment);
  return threads != nullptr && std::string_view(threads) == "1";
}

void start_again(char** argv, char** environment) {
  static std::array<char, 4096> program;
  const auto length = readlink("/proc/self/exe", program.data(), program.size() - 1);
  if (length <= 0) return;
  static std::array<char, 40> variable;
  std::snprintf(variable.data(), variable.size(), "GOMP_SPINCOUNT=%lld", static_cast<long long>(spin_rounds()));
  static std::array<char*, kMaxVariables> extended;
  std::size_t count = 0;
  while (environment[count] != nullptr) ++count;
  if (count + 2 > extended.size()) return;
  std::copy_n(environment, count, extended.begin());
  extended[count] = variable.data();
  execve(program.data(), argv, extended.data());  // returns if the system refuses; then nothing is bounded
}

void bound_spinning(int argc, char** argv, char** environment) {
  const bool chosen =
      value_of("GOMP_SPINCOUNT", environment) != nullptr || value_of("OMP_WAIT_POLICY", environment) != nullptr;
  if (chosen || has_one_thread(environment) || has_one_processor() || !computes(argc, argv)) return;
  if (can_start_again()) start_again(argv, environment);
}

// The linker calls what is in this section of a program before the constructors of all libraries.
using Early = void (*)(int, char**, char**);
[[gnu::section(".preinit_array"), gnu::used]] const Early bound_spinning_early = &bound_spinning;

}  // namespace
