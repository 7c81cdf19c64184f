// Writes EXIF (JEITA CP-3451) and XMP (ISO 16684-1).
#include <cstdint>

#include "core/text.h"
#include "image/files/encoders.h"
#include "image/files/text_encoding.h"
#include "image/files/tiff.h"

namespace easel {
namespace {

constexpr std::string_view kUnicodeComment("UNICODE\0", 8);  // the encoding of a UserComment

std::string big_endian_number(std::size_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = size; i-- > 0;) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string tiff_entry(std::uint32_t tag, std::uint32_t type, std::size_t count, std::size_t value) {
  return big_endian_number(tag, 2) + big_endian_number(type, 2) + big_endian_number(count, 4) +
         big_endian_number(value, 4);
}

std::string without_nul(std::string text) {
  std::erase(text, '\0');
  return text;
}

/// Two directories: the first has only a pointer to EXIF's, whose entries hold `note` and `comment` behind it.
/// @param note, comment  empty: not there; else longer than the four bytes that an entry itself holds
std::string exif_directories(const std::string& note, const std::string& comment) {
  constexpr std::size_t kHead = 8, kCount = 2, kNext = 4;
  const std::size_t directory = kHead + kCount + kTiffEntryBytes + kNext;
  const std::size_t entries = (note.empty() ? 0 : 1) + (comment.empty() ? 0 : 1);
  std::size_t at = directory + kCount + entries * kTiffEntryBytes + kNext;
  auto tiff = "MM" + big_endian_number(42, 2) + big_endian_number(kHead, 4);
  tiff += big_endian_number(1, 2) + tiff_entry(kExifDirectoryTag, kTiffLong, 1, directory) + big_endian_number(0, 4);
  tiff += big_endian_number(entries, 2);
  if (!note.empty()) {
    tiff += tiff_entry(kMakerNoteTag, kTiffUndefined, note.size(), at);
    at += note.size() + note.size() % 2;  // values begin at even positions
  }
  if (!comment.empty()) tiff += tiff_entry(kUserCommentTag, kTiffUndefined, comment.size(), at);
  return tiff + big_endian_number(0, 4) + note + std::string(note.size() % 2, '\0') + comment;
}

std::string_view source_name(DigitalSource source) {
  return source == DigitalSource::kTrainedAlgorithmicMedia ? "trainedAlgorithmicMedia"
                                                           : "compositeWithTrainedAlgorithmicMedia";
}

}  // namespace

std::string exif_of(const ImageMetadata& metadata, std::size_t limit) {
  const auto note = without_nul(metadata.record);
  auto comment = utf16_from_utf8(without_nul(metadata.parameters));
  if (!comment.empty()) comment.insert(0, kUnicodeComment);
  if (note.empty() && comment.empty()) return {};
  if (auto both = exif_directories(note, comment); both.size() <= limit) return both;
  if (comment.empty()) return {};
  auto only_comment = exif_directories({}, comment);
  return only_comment.size() <= limit ? only_comment : std::string();
}

std::string xmp_of(const ImageMetadata& metadata) {
  if (!metadata.source) return {};
  return concat(
      "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
      R"(<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/)",
      source_name(*metadata.source), R"(</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>)");
}

}  // namespace easel
