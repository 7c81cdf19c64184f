// What the server tells about its machine and its folders.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/command_line/options.h"
#include "easel/server.h"

namespace easel {

/// The memory of GPUs, for make_metrics: each call reads it anew, and leaves out a lost device. Empty where the devices
/// are CPUs.
/// @param devices  as list_devices() gave them
std::function<std::vector<DeviceMemory>()> memory_of_gpus(const std::vector<std::string>& devices);

/// Fills ServerOptions::list_adapters, list_words, read_memory and autoencoders from the flags.
/// @param devices  as list_devices() gave them
/// @throws Error(kNotFound)  a folder does not exist
void describe_machine(const Options& options, const std::vector<std::string>& devices, ServerOptions& server);

}  // namespace easel
