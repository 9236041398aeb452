// Holds each dashboard to Grafana's published types: JSON schemas are made of the
// types of @grafana/grafana-foundation-sdk (no property beyond theirs), of the
// dashboard as a whole, and of what the whole leaves open: options, field options
// and queries of each panel, by the types of its plugin.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const place = process.argv[2];
const require = createRequire(`${place}/package.json`);
const { createGenerator } = require("ts-json-schema-generator");
const Ajv = require("ajv");

const entry = (module) => {
  const name = `@grafana/grafana-foundation-sdk/${module}`;
  const file = `${place}/entry-${module}.ts`;
  writeFileSync(file, `export type * from "${name}";\n`);
  return file;
};
const schemas = new Map();
const validator = (module, type) => {
  const key = `${module}.${type}`;
  if (!schemas.has(key)) {
    const schema = createGenerator({
      path: entry(module),
      tsconfig: `${place}/tsconfig.json`,
      type,
      skipTypeCheck: true,
      additionalProperties: false,
    }).createSchema(type);
    schemas.set(key, new Ajv({ strict: false, allErrors: true }).compile(schema));
  }
  return schemas.get(key);
};

let wrong = 0;
let checked = 0;
const check = (what, module, type, value) => {
  const validate = validator(module, type);
  checked += 1;
  if (!validate(value)) {
    wrong += 1;
    for (const error of validate.errors.slice(0, 5)) {
      console.error(`${what}: ${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
    }
  }
};

// What the check must catch, so that it cannot pass by looking at nothing.
const slip = validator("timeseries", "Options");
if (slip({ legend: { displayMode: "lst" } }) || slip({ legnd: {} })) {
  console.error("a slip in a panel's options is not caught");
  process.exit(1);
}

const modules = { timeseries: "timeseries", stat: "stat", "state-timeline": "statetimeline" };
const folder = `${place}/stack/grafana/dashboards`;
for (const file of readdirSync(folder)) {
  const dashboard = JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));
  // Absent and null are the same to Grafana's importer; the type has a number.
  delete dashboard.id;
  for (const panel of dashboard.panels) {
    if (panel.type === "row") continue;
    const module = modules[panel.type];
    if (!module) throw new Error(`${file}: no type is known for a panel of type ${panel.type}`);
    const of = `${file}, ${panel.title}`;
    check(`${of}, options`, module, "Options", panel.options);
    const custom = panel.fieldConfig.defaults.custom;
    if (custom) check(`${of}, field options`, module, "FieldConfig", custom);
    for (const target of panel.targets) check(`${of}, query`, "prometheus", "Dataquery", target);
    // The types of the whole leave these to the plugins.
    delete panel.targets;
  }
  for (const annotation of dashboard.annotations.list) {
    const of = `${file}, annotations ${annotation.name}`;
    check(of, "dashboard", "AnnotationTarget", annotation.target);
    delete annotation.target;
  }
  check(file, "dashboard", "Dashboard", dashboard);
}
console.log(`${checked} parts of dashboards are as their types have them, but for ${wrong}`);
process.exit(wrong > 0 ? 1 : 0);
