// The matrix above, its scale beside it, the mistakes below; names are left out where the cells are too small for them.
#include "train/evaluation_picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/canvas.hpp"

namespace convoy {
namespace {

constexpr int kMargin = 20;
constexpr int kGap = 6;
constexpr int kMatrixSide = 640;  // at most, but for many classes
constexpr int kLeastCell = 6, kMostCell = 44;
constexpr int kLine = text_height() + kGap;
constexpr int kScaleWidth = 16, kScaleHeight = 200;
constexpr int kLeastPicture = 96;  // pixels that a mistake's picture is enlarged to
constexpr int kMistakesInRow = 6;

// Paper to dark blue; the root shows rare confusions too.
Colour shade(double share) {
  constexpr Colour kDark{8, 48, 107};
  const double strength = std::sqrt(std::clamp(share, 0.0, 1.0));
  Colour colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    colour[c] = static_cast<std::uint8_t>(std::lround(255 + strength * (kDark[c] - 255.0)));
  }
  return colour;
}

// Text on that shade.
Colour ink_on(double share) { return share > 0.25 ? kPaper : kInk; }

int widest(const std::vector<std::string>& names) {
  int width = 0;
  for (const std::string& name : names) width = std::max(width, text_width(name));
  return width;
}

struct MatrixPlan {
  int cell = 0;
  bool has_names = false;
  int names = 0;  // pixels that the longest takes
  int side = 0, left = 0, top = 0;
};

MatrixPlan plan_matrix(const Confusion& confusion) {
  const int classes = static_cast<int>(confusion.classes());
  MatrixPlan plan;
  plan.cell = std::clamp(kMatrixSide / classes, kLeastCell, kMostCell);
  plan.has_names = plan.cell >= kLine - kGap / 2;
  plan.names = plan.has_names ? widest(confusion.class_names) : 0;
  plan.side = plan.cell * classes;
  plan.left = kMargin + kLine + plan.names + kGap;
  plan.top = kMargin + 3 * kLine + plan.names + kGap;
  return plan;
}

// As large as the cell allows; not at all where it is too small.
void draw_centred(int left, int top, int cell, const std::string& number, Colour colour, Canvas& canvas) {
  for (int scale = kTextScale; scale > 0; --scale) {
    const int width = text_width(number, scale), height = text_height(scale);
    if (std::max(width, height) + kGap > cell) continue;
    canvas.text(left + (cell - width) / 2, top + (cell - height) / 2, number, colour, scale);
    return;
  }
}

void draw_matrix(const Confusion& confusion, const MatrixPlan& plan, Canvas& canvas) {
  const int classes = static_cast<int>(confusion.classes());
  for (int truth = 0; truth < classes; ++truth) {
    const auto row = static_cast<std::size_t>(truth);
    const double images = static_cast<double>(std::max<std::int64_t>(confusion.images(row), 1));
    const int y = plan.top + truth * plan.cell;
    const int middle = (plan.cell - text_height()) / 2;
    if (plan.has_names) {
      const std::string& name = confusion.class_names[row];
      canvas.text(plan.left - kGap - text_width(name), y + middle, name, kInk);
      canvas.text_upwards(plan.left + truth * plan.cell + middle, plan.top - kGap, name, kInk);
    }
    for (int predicted = 0; predicted < classes; ++predicted) {
      const std::int64_t count = confusion.count(row, static_cast<std::size_t>(predicted));
      const double share = static_cast<double>(count) / images;
      const int x = plan.left + predicted * plan.cell;
      canvas.rectangle(x, y, x + plan.cell - 1, y + plan.cell - 1, shade(share));
      if (count > 0) draw_centred(x, y, plan.cell, fmt::format("{}", count), ink_on(share), canvas);
    }
  }
  canvas.text_upwards(kMargin, plan.top + plan.side, "true class", kFaint);
  canvas.text(plan.left, kMargin + 2 * kLine, "predicted class", kFaint);
}

// How shades stand for shares.
void draw_scale(int left, int top, Canvas& canvas) {
  for (int y = 0; y < kScaleHeight; ++y) {
    canvas.rectangle(left, top + y, left + kScaleWidth, top + y + 1, shade(1 - static_cast<double>(y) / kScaleHeight));
  }
  for (const int percent : {100, 50, 25, 0}) {
    const int y = top + kScaleHeight * (100 - percent) / 100;
    canvas.text(left + kScaleWidth + kGap, y - text_height() / 2, fmt::format("{} %", percent), kFaint);
  }
  canvas.text(left, top + kScaleHeight + kLine, "of the", kFaint);
  canvas.text(left, top + kScaleHeight + 2 * kLine, "true class", kFaint);
}

struct MistakeLines {
  std::string truth, predicted;
};

MistakeLines lines_of(const Mistake& mistake, const Confusion& confusion) {
  const auto name = [&](int c) { return confusion.class_names[static_cast<std::size_t>(c)]; };
  return {name(mistake.truth),
          fmt::format("-> {} {:.3f}", name(mistake.predicted.class_index), mistake.predicted.probability)};
}

struct MistakesPlan {
  int zoom = 1, columns = 1, width = 0, height = 0, top = 0;  // width and height: of one of them
};

MistakesPlan plan_mistakes(const Confusion& confusion, const std::vector<Mistake>& mistakes, const Extent& image,
                           int top) {
  MistakesPlan plan;
  plan.zoom = std::max(1, kLeastPicture / std::max(image.width, image.height));
  plan.columns = std::min(kMistakesInRow, static_cast<int>(mistakes.size()));
  plan.width = plan.zoom * image.width;
  for (const Mistake& mistake : mistakes) {
    const MistakeLines lines = lines_of(mistake, confusion);
    plan.width = std::max({plan.width, text_width(lines.truth), text_width(lines.predicted)});
  }
  plan.width += 3 * kGap;
  plan.height = plan.zoom * image.height + 2 * kLine + 3 * kGap;
  plan.top = top + kLine;
  return plan;
}

void draw_mistakes(const Confusion& confusion, const std::vector<Mistake>& mistakes, const ImageSet& images,
                   const MistakesPlan& plan, Canvas& canvas) {
  canvas.text(kMargin, plan.top - kLine, "the most confident mistakes: true class -> predicted class, its probability",
              kFaint);
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    const int x = kMargin + static_cast<int>(i) % plan.columns * plan.width;
    const int y = plan.top + kGap + static_cast<int>(i) / plan.columns * plan.height;
    const int below = y + plan.zoom * images.image.height + kGap;
    const MistakeLines lines = lines_of(mistakes[i], confusion);
    canvas.image(x, y, images.image, images.at(mistakes[i].image), plan.zoom);
    canvas.text(x, below, lines.truth, kInk);
    canvas.text(x, below + kLine, lines.predicted, kInk);
  }
}

}  // namespace

void write_evaluation_picture(const Confusion& confusion, const std::vector<Mistake>& mistakes, const ImageSet& images,
                              const std::string& title, const std::string& path) {
  const MatrixPlan matrix = plan_matrix(confusion);
  const int scale_left = matrix.left + matrix.side + 2 * kMargin;
  int width = std::max(scale_left + text_width("true class"), kMargin + text_width(title)) + kMargin;
  int height = matrix.top + std::max(matrix.side, kScaleHeight + 3 * kLine) + kMargin;
  MistakesPlan sheet;
  if (!mistakes.empty()) {
    sheet = plan_mistakes(confusion, mistakes, images.image, height + kMargin);
    const int rows = (static_cast<int>(mistakes.size()) + sheet.columns - 1) / sheet.columns;
    width = std::max(width, kMargin + sheet.columns * sheet.width + kMargin);
    height = sheet.top + rows * sheet.height + kMargin;
  }
  Canvas canvas(width, height);
  canvas.text(kMargin, kMargin, title, kInk);
  draw_matrix(confusion, matrix, canvas);
  draw_scale(scale_left, matrix.top, canvas);
  if (!mistakes.empty()) draw_mistakes(confusion, mistakes, images, sheet, canvas);
  canvas.write(path);
}

}  // namespace convoy
