// The entries of a zip file in memory, uncompressed as torch.save writes them. Uses neither torch nor file access.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace easel {

/// Each entry's bytes by its name, as views into `file`.
///
/// torch.save stores entries without compression, so storages can be mapped. libtorch's own archive reader is not used
/// because it copies each entry, and inflates compressed ones to any size that they claim.
/// Follows PKWARE's APPNOTE 6.3 with the Zip64 fields. Checksums are not compared, as in libtorch.
///
/// @param file   all bytes of the file
/// @param where  the file's name in messages
/// @throws Error(kCorruptData)  not a zip archive, cut off, or an entry lies outside the file or occurs twice
/// @throws Error(kUnsupported)  an entry is compressed or encrypted, or the archive has several parts
std::map<std::string, std::span<const std::byte>> read_zip_archive(std::span<const std::byte> file,
                                                                   const std::string& where);

}  // namespace easel
