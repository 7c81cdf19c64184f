// Writes JPEG files with libjpeg-turbo.
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <new>

#include "image/checks.h"
#include "image/files/encoders.h"
#include "image/files/tiff.h"

namespace easel {
namespace {

constexpr std::size_t kMaxSegment = 65533;  // bytes of a marker's contents

/// libjpeg's error manager and destination together with what their callbacks need.
struct JpegOutput {
  jpeg_error_mgr errors;             // must be first: a pointer to it is cast to this struct
  jpeg_destination_mgr destination;  // found through `file`, which is the client data
  std::jmp_buf failed;
  JOCTET buffer[16384];
  std::string* file = nullptr;
};

[[noreturn]] void leave_encoder(j_common_ptr jpeg) {
  std::longjmp(reinterpret_cast<JpegOutput*>(jpeg->err)->failed, 1);
}

JpegOutput& output_of(j_compress_ptr jpeg) {
  return *static_cast<JpegOutput*>(jpeg->client_data);
}

void begin_output(j_compress_ptr jpeg) {
  auto& output = output_of(jpeg);
  output.destination.next_output_byte = output.buffer;
  output.destination.free_in_buffer = sizeof output.buffer;
}

// No exception may pass through libjpeg's frames.
bool append_to_file(JpegOutput& output, std::size_t size) noexcept {
  try {
    output.file->append(reinterpret_cast<const char*>(output.buffer), size);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

boolean flush_output(j_compress_ptr jpeg) {
  auto& output = output_of(jpeg);
  if (!append_to_file(output, sizeof output.buffer)) ERREXIT1(jpeg, JERR_OUT_OF_MEMORY, 0);
  begin_output(jpeg);
  return TRUE;
}

void end_output(j_compress_ptr jpeg) {
  auto& output = output_of(jpeg);
  if (!append_to_file(output, sizeof output.buffer - output.destination.free_in_buffer))
    ERREXIT1(jpeg, JERR_OUT_OF_MEMORY, 0);
}

void write_app1(j_compress_ptr jpeg, const std::string& contents) {
  if (contents.empty()) return;
  jpeg_write_marker(jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(contents.data()),
                    static_cast<unsigned int>(contents.size()));
}

// libjpeg leaves a failed call by longjmp, which skips destructors, so this function creates no object that has one.
bool write_jpeg(jpeg_compress_struct& jpeg, JpegOutput& output, const Image& image, int quality,
                const std::string& exif, const std::string& xmp) {
  if (setjmp(output.failed)) return false;
  jpeg_create_compress(&jpeg);
  jpeg.dest = &output.destination;
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = kChannels;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg.optimize_coding = TRUE;
  // Generated images have saturated edges, on which subsampled chroma shows.
  jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&jpeg, TRUE);
  write_app1(&jpeg, exif);
  write_app1(&jpeg, xmp);
  const auto row_bytes = static_cast<std::size_t>(image.width) * kChannels;
  while (jpeg.next_scanline < jpeg.image_height) {
    auto* row = const_cast<JSAMPROW>(image.pixels.data() + jpeg.next_scanline * row_bytes);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  return true;
}

}  // namespace

std::string encode_jpeg(const Image& image, int quality, const ImageMetadata& metadata) {
  if (image.width > JPEG_MAX_DIMENSION || image.height > JPEG_MAX_DIMENSION) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("an image of ", image.width, " x ", image.height, " cannot be a JPEG file; at most ",
                       JPEG_MAX_DIMENSION, " pixels along an edge"));
  }
  auto exif = exif_of(metadata, kMaxSegment - kExifPrefix.size());
  if (!exif.empty()) exif.insert(0, kExifPrefix);
  auto xmp = xmp_of(metadata);
  if (!xmp.empty()) xmp.insert(0, kXmpPrefix);

  std::string file;
  JpegOutput output{};
  output.file = &file;
  output.destination.init_destination = &begin_output;
  output.destination.empty_output_buffer = &flush_output;
  output.destination.term_destination = &end_output;
  jpeg_compress_struct jpeg{};
  jpeg.err = jpeg_std_error(&output.errors);
  output.errors.error_exit = &leave_encoder;
  jpeg.client_data = &output;
  const bool written = write_jpeg(jpeg, output, image, quality, exif, xmp);
  jpeg_destroy_compress(&jpeg);
  if (!written) throw Error(ErrorCode::kResourceExhausted, "out of memory when writing a JPEG file");
  return file;
}

}  // namespace easel
