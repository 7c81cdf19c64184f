// A library that is loaded before the program (LD_PRELOAD) and injects two faults:
//
//   FAULT_CLOCK=FILE        the wall clock is off by as many seconds as the file says, from one call to the next
//   FAULT_SLOW=TEXT:MILLIS  opening a file with this text in its path takes so long, as on a mount that does not
//   respond
//
// Only functions that the program calls in other libraries can be replaced, which is enough: std::chrono and
// std::ifstream are such callers.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// By system calls, since the functions that do the same are replaced.
long clock_offset() {
  const char* path = std::getenv("FAULT_CLOCK");
  if (path == nullptr) return 0;
  const long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  std::array<char, 32> text{};
  const long count = syscall(SYS_read, file, text.data(), text.size() - 1);
  syscall(SYS_close, file);
  return count > 0 ? std::strtol(text.data(), nullptr, 10) : 0;
}

void delay_open(const char* path) {
  const char* slow = std::getenv("FAULT_SLOW");
  const char* colon = slow == nullptr ? nullptr : std::strrchr(slow, ':');
  if (colon == nullptr || std::strstr(path, std::string(slow, colon).c_str()) == nullptr) return;
  constexpr unsigned kMicrosecondsPerMillisecond = 1000;
  usleep(static_cast<unsigned>(std::strtoul(colon + 1, nullptr, 10)) * kMicrosecondsPerMillisecond);
}

int open_slowly(const char* name, const char* path, int flags, mode_t mode) {
  delay_open(path);
  return next<int(const char*, int, ...)>(name)(path, flags, mode);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) {
  static auto* const real = next<int(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += clock_offset();
  return result;
}

time_t time(time_t* result) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* now, void*) {
  timespec precise{};
  const int result = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return result;
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_slowly("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_slowly("open64", path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  delay_open(path);
  return next<FILE*(const char*, const char*)>("fopen")(path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  delay_open(path);
  return next<FILE*(const char*, const char*)>("fopen64")(path, mode);
}

}  // extern "C"
