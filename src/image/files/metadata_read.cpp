// Finds the metadata of image files.
#include <algorithm>
#include <utility>

#include "easel/image_metadata.h"
#include "image/files/decoders.h"
#include "image/files/encoders.h"
#include "image/files/text_encoding.h"
#include "image/files/tiff.h"

namespace easel {
namespace {

std::size_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = value << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
  }
  return value;
}

void take_exif(std::string_view exif, ImageMetadata& metadata) {
  constexpr std::size_t kEncodingBytes = 8;
  const Tiff tiff(exif);
  if (!tiff.valid()) return;
  const auto pointer = tiff.find(tiff.first_directory(), kExifDirectoryTag, kTiffLong);
  if (pointer == 0) return;
  const std::size_t directory = tiff.number(pointer + 8, 4);
  if (const auto note = tiff.find(directory, kMakerNoteTag, kTiffUndefined); note != 0) {
    const auto bytes = tiff.undefined_bytes(note);
    if (bytes.starts_with('{')) metadata.record = bytes;
  }
  const auto comment = tiff.find(directory, kUserCommentTag, kTiffUndefined);
  if (comment == 0) return;
  const auto bytes = tiff.undefined_bytes(comment);
  if (bytes.size() < kEncodingBytes) return;
  const auto text = bytes.substr(kEncodingBytes);
  if (bytes.starts_with("UNICODE")) {
    metadata.parameters = utf8_from_utf16(text);
  } else if (bytes.starts_with("ASCII")) {
    metadata.parameters = utf8_from_latin1(text);
  }
}

void take_xmp(std::string_view xmp, ImageMetadata& metadata) {
  constexpr std::string_view kVocabulary = "cv.iptc.org/newscodes/digitalsourcetype/";
  const auto at = xmp.find(kVocabulary);
  if (at == std::string_view::npos) return;
  const auto value = xmp.substr(at + kVocabulary.size());
  if (value.starts_with("trainedAlgorithmicMedia")) metadata.source = DigitalSource::kTrainedAlgorithmicMedia;
  if (value.starts_with("compositeWithTrainedAlgorithmicMedia"))
    metadata.source = DigitalSource::kCompositeWithTrainedAlgorithmicMedia;
}

void take_png_text(std::string_view keyword, std::string text, ImageMetadata& metadata) {
  if (keyword == kParametersKeyword) {
    metadata.parameters = std::move(text);
  } else if (keyword == kRecordKeyword) {
    metadata.record = std::move(text);
  } else if (keyword == kXmpKeyword) {
    take_xmp(text, metadata);
  }
}

/// A chunk of international text: keyword, NUL, whether it is compressed, how, language, NUL, translated keyword, NUL.
/// Compressed text is passed over.
void take_png_international_text(std::string_view chunk, ImageMetadata& metadata) {
  const auto keyword = chunk.substr(0, chunk.find('\0'));
  if (chunk.size() < keyword.size() + 3 || chunk[keyword.size() + 1] != 0) return;
  auto rest = chunk.substr(keyword.size() + 3);
  for (int field = 0; field < 2; ++field) {
    const auto end = rest.find('\0');
    if (end == std::string_view::npos) return;
    rest.remove_prefix(end + 1);
  }
  take_png_text(keyword, std::string(rest), metadata);
}

void read_png_texts(std::string_view file, ImageMetadata& metadata) {
  constexpr std::size_t kSignature = 8, kLengthAndType = 8, kCheck = 4;
  for (auto rest = file.substr(kSignature); rest.size() >= kLengthAndType;) {
    const auto size = number_at(rest, 0, 4);
    const auto type = rest.substr(4, 4), contents = rest.substr(kLengthAndType, size);
    if (contents.size() < size) return;
    const auto keyword = contents.substr(0, contents.find('\0'));
    if (type == "tEXt" && keyword.size() < contents.size())
      take_png_text(keyword, utf8_from_latin1(contents.substr(keyword.size() + 1)), metadata);
    if (type == "iTXt") take_png_international_text(contents, metadata);
    rest.remove_prefix(std::min(rest.size(), kLengthAndType + size + kCheck));
  }
}

void read_jpeg_segments(std::string_view file, ImageMetadata& metadata) {
  constexpr std::size_t kStartOfImage = 2, kMarker = 2, kLength = 2;
  for (auto rest = file.substr(kStartOfImage); rest.size() >= kMarker + kLength && rest[0] == '\xFF';) {
    if (rest[1] == '\xFF') {  // fill bytes may stand before a marker
      rest.remove_prefix(1);
      continue;
    }
    const auto size = number_at(rest, kMarker, kLength);
    const bool scan = rest[1] == '\xDA';
    if (scan || size < kLength || kMarker + size > rest.size()) return;
    const auto contents = rest.substr(kMarker + kLength, size - kLength);
    if (rest[1] == '\xE1' && contents.starts_with(kExifPrefix)) take_exif(contents, metadata);
    if (rest[1] == '\xE1' && contents.starts_with(kXmpPrefix)) take_xmp(contents, metadata);
    rest.remove_prefix(kMarker + size);
  }
}

void read_webp_chunks(std::string_view file, ImageMetadata& metadata) {
  take_exif(webp_chunk_of_type(file, "EXIF"), metadata);
  take_xmp(webp_chunk_of_type(file, "XMP "), metadata);
}

}  // namespace

ImageMetadata read_metadata(std::string_view file) {
  ImageMetadata metadata;
  if (file.starts_with(kPngSignature)) read_png_texts(file, metadata);
  if (file.starts_with(kJpegSignature)) read_jpeg_segments(file, metadata);
  if (is_webp_file(file)) read_webp_chunks(file, metadata);
  return metadata;
}

}  // namespace easel
