// Writes each dashboard as TypeScript that its type checks: the dashboard as a
// whole, and the options, field options and queries of each panel by the types of
// its plugin, which the whole leaves open.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const place = process.argv[2];
const modules = { timeseries: "timeseries", stat: "stat", "state-timeline": "statetimeline" };
mkdirSync(`${place}/types`, { recursive: true });
const folder = `${place}/stack/grafana/dashboards`;
for (const file of readdirSync(folder)) {
  const dashboard = JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));
  const sdk = "@grafana/grafana-foundation-sdk";
  let text = `import type { Dashboard } from "${sdk}/dashboard";\n`;
  text += `import type { dataquery } from "${sdk}/prometheus";\n`.replace("dataquery", "Dataquery");
  for (const [, module] of Object.entries(modules)) {
    text += `import type * as ${module} from "${sdk}/${module}";\n`;
  }
  const whole = JSON.stringify(dashboard, (key, value) => (key === "id" && value === null ? undefined : value), 1);
  text += `export const dashboard = ${whole} as const satisfies unknown;\n`;
  text += `export const whole: Dashboard = ${whole} as unknown as Dashboard;\n`;
  dashboard.panels.forEach((panel, at) => {
    if (panel.type === "row") return;
    const module = modules[panel.type];
    if (!module) throw new Error(`${file}: no type is known for a panel of type ${panel.type}`);
    text += `export const options${at}: ${module}.Options = ${JSON.stringify(panel.options)} as any satisfies object;\n`;
    panel.targets.forEach((target, number) => {
      text += `export const target${at}_${number}: Partial<Dataquery> = ${JSON.stringify(target)};\n`;
    });
  });
  writeFileSync(`${place}/types/${file.replace(".json", ".mts")}`, text);
}
