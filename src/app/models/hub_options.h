// How models are downloaded, from flags and environment.
#pragma once

#include "app/command_line/options.h"
#include "hub/pull.h"

namespace easel {

/// HF_ENDPOINT, HF_TOKEN and CIVITAI_TOKEN are read from the environment.
/// @param folder  where the model goes
/// @throws Error(kInvalidArgument, kUnavailable)  the device or dtype is unknown or not on this machine
hub::PullOptions make_pull_options(const Options& options, const std::string& folder);

}  // namespace easel
