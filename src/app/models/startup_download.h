// Models that easel serve downloads before it serves them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/command_line/options.h"
#include "easel/server.h"

namespace easel {

/// Downloads models into the models folder and logs a line every few seconds.
/// @param names     as names_to_pull() lists them
/// @param progress  of the model that is being downloaded
/// @param stop      asked now and then; true ends the download, whose files are kept for the next one
/// @throws Error(kCancelled)  stop returned true
/// @throws Error              as hub::pull()
void download_models(const Options& options, const std::vector<std::string>& names, PendingDownload& progress,
                     const std::function<bool()>& stop);

}  // namespace easel
