#include "weights/format/zip_archive.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/byte_reader.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kLocator64Bytes = 20;
constexpr std::size_t kMaxCommentBytes = 0xFFFF;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kEncryptedFlag = 1;
constexpr std::uint32_t kSeeZip64 = 0xFFFFFFFF;  // the true number is in the Zip64 extra field

struct CentralDirectory {
  std::uint64_t offset, size, entries;
};

struct ZipEntry {
  std::string name;
  std::uint16_t flags, method;
  std::uint64_t stored_size, size, local_offset;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  std::map<std::string, std::span<const std::byte>> read() const {
    const CentralDirectory directory = find_directory();
    auto records = at(directory.offset, directory.size);
    std::map<std::string, std::span<const std::byte>> entries;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      const ZipEntry entry = read_entry(records);
      if (!entries.emplace(entry.name, contents(entry)).second) {
        throw corrupt(concat("entry ", quote_name(entry.name), " occurs twice"));
      }
    }
    return entries;
  }

 private:
  Error corrupt(const std::string& what) const { return {ErrorCode::kCorruptData, concat(where_, ": ", what)}; }

  ByteReader at(std::uint64_t offset, std::uint64_t size) const {
    if (offset > file_.size() || size > file_.size() - offset) {
      throw corrupt(concat("its directory points at ", size, " bytes from ", offset, ", the file has ", file_.size()));
    }
    return {file_.subspan(offset, size), where_};
  }
  ByteReader from(std::uint64_t offset) const {
    return at(offset, file_.size() - std::min(offset, std::uint64_t{file_.size()}));
  }

  /// The end record is the last part of the file, followed only by its own comment.
  std::size_t find_end() const {
    const std::size_t first = file_.size() - std::min(file_.size(), kEndBytes + kMaxCommentBytes);
    for (std::size_t i = file_.size() - std::min(file_.size(), kEndBytes) + 1; i-- > first;) {
      if (file_.size() - i < kEndBytes) continue;
      auto reader = from(i);
      if (reader.take_number<std::uint32_t>() != kEndSignature) continue;
      reader.take(16);
      if (reader.take_number<std::uint16_t>() == reader.remaining()) return i;
    }
    throw corrupt("it ends without a zip directory; was it cut off?");
  }

  CentralDirectory find_directory() const {
    const std::size_t end = find_end();
    auto reader = from(end + sizeof kEndSignature);
    const auto disk = reader.take_number<std::uint16_t>();
    const auto directory_disk = reader.take_number<std::uint16_t>();
    const auto entries_here = reader.take_number<std::uint16_t>();
    const auto entries = reader.take_number<std::uint16_t>();
    const auto size = reader.take_number<std::uint32_t>();
    const auto offset = reader.take_number<std::uint32_t>();
    if (const auto large = find_directory64(end)) return *large;
    if (disk != 0 || directory_disk != 0 || entries_here != entries) {
      throw Error(ErrorCode::kUnsupported, where_ + " is one part of a divided zip archive");
    }
    return {.offset = offset, .size = size, .entries = entries};
  }

  std::optional<CentralDirectory> find_directory64(std::size_t end) const {
    if (end < kLocator64Bytes) return std::nullopt;
    auto locator = from(end - kLocator64Bytes);
    if (locator.take_number<std::uint32_t>() != kLocator64Signature) return std::nullopt;
    locator.take(sizeof(std::uint32_t));  // the disk it is on
    auto reader = from(locator.take_number<std::uint64_t>());
    if (reader.take_number<std::uint32_t>() != kEnd64Signature)
      throw corrupt("its Zip64 directory is not where it says");
    reader.take(28);  // its size, versions, disks, entries on this disk
    CentralDirectory directory;
    directory.entries = reader.take_number<std::uint64_t>();
    directory.size = reader.take_number<std::uint64_t>();
    directory.offset = reader.take_number<std::uint64_t>();
    return directory;
  }

  ZipEntry read_entry(ByteReader& records) const {
    if (records.take_number<std::uint32_t>() != kCentralSignature) throw corrupt("its zip directory is damaged");
    records.take(4);  // versions
    ZipEntry entry;
    entry.flags = records.take_number<std::uint16_t>();
    entry.method = records.take_number<std::uint16_t>();
    records.take(8);  // time, date, checksum
    entry.stored_size = records.take_number<std::uint32_t>();
    entry.size = records.take_number<std::uint32_t>();
    const auto name_length = records.take_number<std::uint16_t>();
    const auto extra_length = records.take_number<std::uint16_t>();
    const auto comment_length = records.take_number<std::uint16_t>();
    records.take(8);  // disk, attributes
    entry.local_offset = records.take_number<std::uint32_t>();
    entry.name = records.take_text(name_length);
    read_extra(ByteReader(records.take(extra_length), where_), entry);
    records.take(comment_length);
    return entry;
  }

  /// The Zip64 field holds those of the three numbers that do not fit 32 bits, in this order.
  void read_extra(ByteReader extra, ZipEntry& entry) const {
    while (extra.remaining() >= 4) {
      const auto id = extra.take_number<std::uint16_t>();
      ByteReader field(extra.take(extra.take_number<std::uint16_t>()), where_);
      if (id != kZip64Extra) continue;
      for (std::uint64_t* number : {&entry.size, &entry.stored_size, &entry.local_offset}) {
        if (*number == kSeeZip64) *number = field.take_number<std::uint64_t>();
      }
    }
  }

  std::span<const std::byte> contents(const ZipEntry& entry) const {
    if (entry.method != 0 || (entry.flags & kEncryptedFlag) != 0) {
      throw Error(ErrorCode::kUnsupported, concat(where_, ": entry ", quote_name(entry.name),
                                                  " is compressed or encrypted, which torch.save never does"));
    }
    if (entry.size != entry.stored_size) throw corrupt(concat("entry ", quote_name(entry.name), " has two sizes"));
    auto reader = from(entry.local_offset);
    if (reader.take_number<std::uint32_t>() != kLocalSignature) {
      throw corrupt(concat("entry ", quote_name(entry.name), " is not where the directory says"));
    }
    reader.take(22);  // fields that the directory has as well; the sizes may be given only after the bytes
    const auto name_length = reader.take_number<std::uint16_t>();
    const auto extra_length = reader.take_number<std::uint16_t>();
    reader.take(name_length);
    reader.take(extra_length);
    return reader.take(entry.size);
  }

  std::span<const std::byte> file_;
  const std::string& where_;
};

}  // namespace

std::map<std::string, std::span<const std::byte>> read_zip_archive(std::span<const std::byte> file,
                                                                   const std::string& where) {
  return ZipReader(file, where).read();
}

}  // namespace easel
