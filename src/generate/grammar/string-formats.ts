/** The formats of JSON Schema (2020-12, §7.3) that a string can be held to, as patterns. */

const year = String.raw`\d{4}`;
const leapYear = String.raw`(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)`;
const dayOfMonth = [
  "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
  "(0[469]|11)-(0[1-9]|[12][0-9]|30)",
  "02-(0[1-9]|1[0-9]|2[0-8])",
].join("|");
const date = `(${year}-(${dayOfMonth})|${leapYear}-02-29)`;
/** Without leap seconds. */
const time = String.raw`([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)`;
const octet = String.raw`(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const atom = "[A-Za-z0-9_+-]{1,20}";

/** RFC 3339 for dates and times, RFC 9562 for UUIDs; addresses in the forms that all systems take. */
export const stringFormats: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${time}$`,
  "date-time": `^${date}T${time}$`,
  duration: String.raw`^P(\d{1,4}W|(\d{1,4}Y)?(\d{1,4}M)?\d{1,4}D|T(\d{1,4}H)?(\d{1,4}M)?\d{1,4}S|T(\d{1,4}H)?\d{1,4}M|T\d{1,4}H)$`,
  uuid: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
  email: String.raw`^${atom}(\.${atom}){0,2}@(${label}\.){1,4}[A-Za-z]{2,24}$`,
  hostname: String.raw`^${label}(\.${label}){0,3}$`,
  ipv4: String.raw`^${octet}(\.${octet}){3}$`,
  uri: String.raw`^[a-z][a-z0-9+.-]{1,15}://${label}(\.${label}){0,4}(:\d{1,4})?(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,100}){0,20}(\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]{0,200})?(#[A-Za-z0-9._~!$&'()*+,;=:@/?-]{0,100})?$`,
};
