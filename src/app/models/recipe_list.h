// easel models --available
#pragma once

#include "app/command_line/options.h"

namespace easel {

/// Prints the recipes by family, with licence, size on the disk, memory by dtype, and whether the weights fit into the
/// memory that is free on the flags' first device.
/// @throws Error(kInvalidArgument, kUnavailable)  the device or dtype is unknown or not on this machine
void print_recipes(const ModelFlags& flags);

}  // namespace easel
