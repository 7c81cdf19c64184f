// A library that is loaded before the program (LD_PRELOAD) and injects two faults:
//
//   FAULT_CLOCK  the wall clock is off by as many seconds as the file says
//   FAULT_SLOW   with MILLISECONDS:TEXT in the file, opening what has this text in its path takes so long, as on a
//   mount that
//                does not respond
//
// Both variables name files, which may change from one call to the next.
//
// Only functions that the program calls in other libraries can be replaced, which is enough: std::chrono and
// std::ifstream are such callers.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// The contents of the file that a variable names; empty if there is none. By system calls, since the functions that do
/// the same are replaced.
std::string file_of(const char* variable) {
  const char* path = std::getenv(variable);
  if (path == nullptr) return "";
  const long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::array<char, 200> text{};
  const long count = syscall(SYS_read, file, text.data(), text.size());
  syscall(SYS_close, file);
  return std::string(text.data(), static_cast<std::size_t>(std::max(count, 0L)));
}

long clock_offset() {
  return std::strtol(file_of("FAULT_CLOCK").c_str(), nullptr, 10);
}

void delay_open(const char* path) {
  const auto slow = file_of("FAULT_SLOW");
  const auto colon = slow.find(':');
  if (colon == std::string::npos || std::strstr(path, slow.substr(colon + 1).c_str()) == nullptr) return;
  std::this_thread::sleep_for(std::chrono::milliseconds(std::strtol(slow.c_str(), nullptr, 10)));
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
