// The program: reads the options, runs one command, and reports an error as one sentence.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "app/command_line/commands.h"
#include "core/log.h"
#include "nn/meta_run.h"
#include "weights/format/page_guard.h"

namespace {

// The system gives a new file or connection the lowest descriptor that is free. If that were one of the standard ones,
// messages would be written into it.
void open_standard_descriptors() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    if (open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY) < 0) return;
  }
}

int run(const easel::Options& options) {
  switch (options.command) {
    case easel::Command::kServe:
      return easel::serve(options);
    case easel::Command::kDraw:
      return easel::draw(options);
    case easel::Command::kModels:
      return easel::list(options);
    case easel::Command::kConvert:
      return easel::convert(options);
    case easel::Command::kPull:
      return easel::pull(options);
    case easel::Command::kRemove:
      return easel::remove_model(options);
    case easel::Command::kHealth:
      return easel::check_health(options);
  }
  return 1;
}

int run_command(const easel::Options& options) {
  easel::install_truncation_guard();
  const easel::MetaKernels meta_kernels;  // before other threads call libtorch
  try {
    easel::log::set_level(easel::log::parse_level(options.log_level));
    easel::log::set_format(easel::log::parse_format(options.log_format));
    return run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "easel: %s\n", e.what());
    return 1;
  }
}

/// Ends the process without the destructors of libraries. libtorch's take 0.07 s to free what the system frees anyway.
int leave(int exit_code) {
#if !defined(__SANITIZE_ADDRESS__)  // it looks for leaks at the end
  std::fflush(nullptr);
  _exit(exit_code);
#endif
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  int exit_code = 1;
  const auto options = easel::parse_options(argc, argv, exit_code);
  return options ? leave(run_command(*options)) : exit_code;
}
