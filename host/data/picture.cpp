// A contact sheet of labelled pictures as a PNG.
#include "data/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "data/canvas.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

constexpr int kZoom = 2;
constexpr int kColumns = 16;
constexpr int kGap = 4;      // between pictures
constexpr int kMargin = 16;  // around everything
constexpr int kHeader = text_height() + kMargin;

// The first images of every class, in the order of the training set.
std::vector<std::vector<std::size_t>> first_of_each_class(const Dataset& data) {
  std::vector<std::vector<std::size_t>> rows(static_cast<std::size_t>(data.classes()));
  for (std::size_t i = 0; i < data.train.count(); ++i) {
    auto& row = rows[static_cast<std::size_t>(data.train.labels[i])];
    if (row.size() < kColumns) row.push_back(i);
  }
  return rows;
}

}  // namespace

void write_contact_sheet(const Dataset& data, const std::string& path) {
  const std::string title = fmt::format("{}: {} training images, {} test images, {} classes", data.name,
                                        grouped(data.train.count()), grouped(data.test.count()), data.classes());
  const Extent extent = data.train.image;
  const int cell_width = kZoom * extent.width + kGap, cell_height = kZoom * extent.height + kGap;
  int names = 0;
  for (const std::string& name : data.class_names) names = std::max(names, text_width(name));
  const int left = kMargin + names + kMargin, top = kMargin + kHeader;
  const int width = std::max(left + kColumns * cell_width - kGap, kMargin + text_width(title)) + kMargin;
  Canvas canvas(width, top + data.classes() * cell_height - kGap + kMargin);
  canvas.text(kMargin, kMargin, title, kFaint);
  const auto rows = first_of_each_class(data);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const int y = top + static_cast<int>(r) * cell_height;
    const std::string& name = data.class_names[r];
    canvas.text(kMargin + names - text_width(name), y + (kZoom * extent.height - text_height()) / 2, name, kInk);
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      canvas.image(left + static_cast<int>(c) * cell_width, y, extent, data.train.at(rows[r][c]), kZoom);
    }
  }
  canvas.write(path);
}

}  // namespace convoy
