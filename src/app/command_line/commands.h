// The commands of the program. Each returns the exit status.
#pragma once

#include "app/command_line/options.h"

namespace easel {

int serve(const Options& options);
int draw(const Options& options);
int list(const Options& options);
int convert(const Options& options);
int pull(const Options& options);
int remove_model(const Options& options);
int check_health(const Options& options);

}  // namespace easel
