// Classifies pictures with a project that `knightlite deploy` wrote: prints the best three classes of
// each. Pictures are PPM, or PNG and JPEG where stb_image.h is installed.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "knl.hpp"
#include "network.h" // of the project: the recipe

extern "C" {
#include "files.h" // of the project: decodes pictures
}

namespace {

std::vector<std::string> read_lines(const std::string &name) {
    std::ifstream opened(name);
    if (!opened)
        throw knl::error(KNL_ARGUMENT, name + " cannot be read.");
    std::vector<std::string> found;
    for (std::string line; std::getline(opened, line);) {
        const std::string number = std::to_string(found.size()) + ":"; // lines may be numbered
        found.push_back(line.rfind(number, 0) == 0 ? line.substr(number.size()) : line);
    }
    return found;
}

knl::picture decode(const char *name) {
    picture shown{};
    knl_error error{};
    const int status = read_picture(name, &shown, &error);
    if (status == NO_PICTURE)
        throw knl::error(KNL_ARGUMENT, std::string(name) + " must be a PPM, PNG or JPEG.");
    if (status)
        throw knl::error(status, error.sentence);
    const std::size_t bytes = std::size_t{3} * shown.height * shown.width;
    knl::picture found{shown.height, shown.width, {shown.pixels, shown.pixels + bytes}};
    release_picture(&shown);
    return found;
}

void classify(knl::network &net, const std::vector<std::string> &labels, const char *name) {
    net.write(0, decode(name), network_recipe);
    net.run();
    const std::vector<float> scores = net.read(0);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    std::printf("%s:", name);
    for (std::size_t at = 0; at < std::min<std::size_t>(3, order.size()); at++) {
        const std::size_t best = order[at];
        const std::string label = best < labels.size() ? labels[best] : std::to_string(best);
        std::printf(" %s (%.4f)", label.c_str(), static_cast<double>(scores[best]));
    }
    std::printf("\n");
}

} // namespace

int main(int count, char **words) {
    if (count < 4) {
        std::fprintf(stderr, "Usage: classify NETWORK_FOLDER LABELS PICTURE...\n");
        return 2;
    }
    try {
        const std::string folder = words[1];
        knl::network net =
            knl::network::from_files(folder + "/network.cfg", folder + "/network.weight");
        const std::vector<std::string> labels = read_lines(words[2]);
        for (int at = 3; at < count; at++)
            classify(net, labels, words[at]);
    } catch (const knl::error &error) {
        std::fprintf(stderr, "Error: %s\n", error.what());
        return 1;
    }
    return 0;
}
