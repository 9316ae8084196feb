/** What the annotation page reads of the server's answers. */

export interface TaskView {
  id: string;
  question: string | null;
  left: string | null;
  right: string | null;
  history: unknown[];
  progress: { comparisons: number };
  lastDecided: string | null;
}

export const json = async <T = TaskView>(response: Promise<Response>): Promise<T> =>
  (await (await response).json()) as T;

export async function events(response: Promise<Response>): Promise<Record<string, unknown>[]> {
  const text = await (await response).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(5)) as Record<string, unknown>);
}

export interface LeadCard {
  readonly id: string;
  readonly isBlind: boolean;
  readonly variants: readonly unknown[];
  readonly winRates: readonly unknown[];
}

/** Its status and what it says. */
export async function problemOf(response: Response): Promise<string> {
  const { error } = (await response.json()) as { error: { message: string } };
  return `${response.status} ${error.message}`;
}
