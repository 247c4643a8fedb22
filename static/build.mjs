// Bundle every page's script and style into one folder, under names that carry a hash of their content.
//
//   node static/build.mjs OUTPUT
//
// Each static/src/page/NAME.js and NAME.css is an entry point; the files of static/src/images/ are copied. A script in
// static/src/page/single/ becomes one classic script with all that it imports, which can be part of a page. OUTPUT/manifest.json
// maps "NAME.js" to the name of its bundle. OUTPUT/imports.json lists the files that a script imports from the start, so that a
// page can fetch all of them at once.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const pages = join(here, "src", "page");
const output = resolve(process.argv[2] ?? join(here, "dist"));

const REFERENCE = "docs.js"; // shares nothing with other pages
const entries = readdirSync(pages)
  .filter((name) => /\.(js|css)$/.test(name) && name !== REFERENCE)
  .sort()
  .map((name) => join(pages, name));

// The content security policy allows no data: URLs. Write those in the libraries' styles to files.
const dataFiles = {
  name: "data-files",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    build.onResolve({ filter: /^data:image\// }, ({ path }) => {
      const kind = /^data:image\/(\w+)/.exec(path)?.[1];
      return { path: `${createHash("sha256").update(path).digest("hex")}/picture.${kind}`, namespace: "data", pluginData: path };
    });
    build.onLoad({ filter: /.*/, namespace: "data" }, async ({ pluginData }) => ({
      contents: new Uint8Array(await (await fetch(pluginData)).arrayBuffer()),
      loader: "file",
    }));
  },
};

// Replace two dependencies of d3-zoom by stubs. CSS transitions animate the picture; these would add colours, easing and timers.
const noTransitions = {
  name: "no-transitions",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    build.onResolve({ filter: /^d3-(transition|interpolate)$/ }, ({ path }) => ({ path, namespace: "still" }));
    build.onLoad({ filter: /.*/, namespace: "still" }, () => ({
      contents: `import { selection } from "d3-selection";
        selection.prototype.interrupt = function () { return this; };
        export const interrupt = () => {};
        export const interpolateZoom = () => {};`,
      resolveDir: here,
    }));
  },
};

// What most pages and most lazily loaded parts need, in two files: esbuild would make a file for each combination of them, and each
// of those is a request with its own headers. So every entry point imports all of the first, and all with a run also the second.
const sources = join(here, "src");
const ofPages = ["core/address.js", "core/drafts.js", "core/state.js", "leaves/dom.js", "leaves/storage.js", "leaves/time.js", "widgets/shell.js"];
const ofRuns = [
  ...readdirSync(join(sources, "leaves")).filter((name) => name.endsWith(".js")).map((name) => `leaves/${name}`),
  ...["core/graph-queries.js", "core/runner.js", "widgets/charts.js"],
].filter((name) => !ofPages.includes(name));
const WITHOUT_RUN = ["lesson.js", "lessons.js", "pages.js"];
const late = readdirSync(sources, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".js"))
  .flatMap((name) => {
    const code = readFileSync(join(sources, name), "utf8").replace(/\/\*.*?\*\//gs, ""); // types in comments import modules, too
    return [...code.matchAll(/import\("(\.[^"]+)"\)/g)].map(([, path = ""]) => join(sources, dirname(name), path));
  });
const fewParts = {
  name: "few-parts",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    const starts = new Set([...entries, ...late].filter((path) => path.endsWith(".js") && !path.endsWith("packed-steps.js")));
    const imports = (/** @type {readonly string[]} */ names) => names.map((name) => `import ${JSON.stringify(join(sources, name))};\n`).join("");
    build.onLoad({ filter: /\.js$/ }, ({ path }) => {
      if (!starts.has(path)) return;
      const common = WITHOUT_RUN.includes(basename(path)) ? ofPages : [...ofPages, ...ofRuns];
      return { contents: imports(common) + readFileSync(path, "utf8") };
    });
  },
};

// A file has no server that could compute the loss around a point: leave the pane for it out.
const noLossPane = {
  name: "no-loss-pane",
  /** @param {import("esbuild").PluginBuild} build */
  setup(build) {
    build.onResolve({ filter: /\/loss-pane\.js$/ }, ({ path, kind }) => (kind === "dynamic-import" ? { path, namespace: "none" } : undefined));
    build.onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "export const lossPane = null;" }));
  },
};

/** @type {import("esbuild").BuildOptions & {metafile: true}} */
const options = {
  outdir: output,
  entryNames: "[name]-[hash]",
  chunkNames: "part-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  target: "es2022",
  minify: true,
  metafile: true,
  loader: { ".woff2": "file", ".svg": "file", ".png": "file" },
  logLevel: "warning",
};
const result = await build({
  ...options,
  entryPoints: entries,
  splitting: true,
  format: "esm",
  legalComments: "linked",
  plugins: [dataFiles, noTransitions, fewParts],
});
const reference = await build({
  ...options,
  entryPoints: [join(pages, REFERENCE)],
  format: "esm",
  legalComments: "linked",
  plugins: [dataFiles],
});
const single = await build({
  ...options,
  entryPoints: readdirSync(join(pages, "single")).map((name) => join(pages, "single", name)),
  format: "iife",
  legalComments: "inline",
  plugins: [dataFiles, noTransitions, noLossPane],
});

/** @type {Record<string, string>} */
const manifest = {};
for (const [file, { entryPoint }] of Object.entries({ ...result.metafile.outputs, ...reference.metafile.outputs, ...single.metafile.outputs })) {
  if (entryPoint) manifest[basename(entryPoint)] = basename(file);
}
/** @type {Record<string, string[]>} */
const imports = {};
for (const [file, { entryPoint }] of Object.entries(result.metafile.outputs)) {
  if (!entryPoint?.endsWith(".js") || !file.endsWith(".js")) continue;
  const found = new Set([file]);
  for (const each of found) {
    for (const { path, kind } of result.metafile.outputs[each]?.imports ?? []) if (kind === "import-statement") found.add(path);
  }
  found.delete(file);
  imports[basename(entryPoint)] = [...found].map((path) => basename(path)).sort();
}
for (const image of readdirSync(join(here, "src", "images")).sort()) {
  const content = readFileSync(join(here, "src", "images", image));
  const { name, ext } = parse(image);
  manifest[image] = `${name}-${createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase()}${ext}`;
  writeFileSync(join(output, manifest[image]), content);
}
writeFileSync(join(output, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");
writeFileSync(join(output, "imports.json"), JSON.stringify(imports, null, 2) + "\n");

// Compress each file once, at the highest level, instead of for each visitor.
for (const name of readdirSync(output).filter((name) => /\.(js|css|svg)$/.test(name))) {
  const content = readFileSync(join(output, name));
  const packed = gzipSync(content, { level: 9 });
  if (packed.length >= 0.9 * content.length) continue;
  writeFileSync(join(output, `${name}.gz`), packed);
  writeFileSync(join(output, `${name}.br`), brotliCompressSync(content)); // at its highest level by default
}
