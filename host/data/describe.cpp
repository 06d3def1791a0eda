// What `convoy data` says of a data set.
#include "data/describe.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "data/text.hpp"

namespace convoy {
namespace {

std::string numbers(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += fmt::format("{}{:.4f}", text.empty() ? "" : "  ", value);
  return text;
}

std::string channels(int count) { return count == 1 ? "1 channel (grey)" : fmt::format("{} channels (RGB)", count); }

// "5,000 each", or the smallest and largest class.
std::string spread(const std::vector<std::size_t>& counts) {
  if (counts.empty()) return "none";
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return *least == *most ? fmt::format("{} in each class", grouped(*least))
                         : fmt::format("{} to {} in a class", grouped(*least), grouped(*most));
}

}  // namespace

Description describe(const Dataset& data) {
  Description d;
  d.name = data.name;
  d.origin = data.origin;
  d.image = data.train.image;
  d.class_names = data.class_names;
  d.train_count = data.train.count();
  d.test_count = data.test.count();
  d.train_counts = class_counts(data.train, data.classes());
  d.test_counts = class_counts(data.test, data.classes());
  d.statistics = channel_statistics(data.train);
  d.checksum = data.checksum;
  return d;
}

std::string checksum_text(std::uint64_t checksum) { return fmt::format("{:016x}", checksum); }

std::string to_text(const Description& d) {
  std::string text = fmt::format("{}, read from {}\n", d.name, d.origin);
  text += fmt::format("  images    {} x {}, {}\n", d.image.height, d.image.width, channels(d.image.channels));
  text += fmt::format("  training  {:>7}  ({})\n", grouped(d.train_count), spread(d.train_counts));
  if (d.test_count > 0) {
    text += fmt::format("  test      {:>7}  ({})\n", grouped(d.test_count), spread(d.test_counts));
  } else {
    text += "  test         none\n";
  }
  text += fmt::format("  mean      {}   of the training pixels, 0..1, by channel\n", numbers(d.statistics.mean));
  text += fmt::format("  deviation {}\n", numbers(d.statistics.deviation));
  text += fmt::format("  checksum  {}\n", checksum_text(d.checksum));
  std::size_t width = std::string_view("class").size();
  for (const std::string& name : d.class_names) width = std::max(width, name.size());
  text += fmt::format("  {} classes\n    {:>3}  {:<{}}  {:>8}  {:>8}\n", d.class_names.size(), "", "class", width,
                      "training", "test");
  for (std::size_t c = 0; c < d.class_names.size(); ++c) {
    text += fmt::format("    {:>3}  {:<{}}  {:>8}  {:>8}\n", c, d.class_names[c], width, grouped(d.train_counts[c]),
                        grouped(d.test_counts[c]));
  }
  return text;
}

}  // namespace convoy
