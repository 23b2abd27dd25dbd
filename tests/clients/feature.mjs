// What a client program for node shares with the other: as feature.py, which says it in full.

export const MODEL = "claude-haiku-4-5";
export const GREETING = "Say hello.";
export const QUESTION = "What is the weather in Paris? Use get_weather.";
export const PERSON = "Invent a person.";
export const DESCRIPTION = "The weather of a city.";
export const WEATHER = "21 degrees";

export async function main(features) {
  const told = {};
  try {
    const result = features[process.argv[2]]();
    if (result[Symbol.asyncIterator]) {
      for await (const piece of result) (told.pieces ??= []).push(piece);
    } else {
      Object.assign(told, await result);
    }
  } catch (error) {
    const cause = error.lastError ?? error; // the AI SDK keeps the last attempt's error inside
    Object.assign(told, { error: error.constructor.name, status: cause.status ?? cause.statusCode ?? null });
    Object.assign(told, { message: String(error.message), type: cause.type ?? null });
  }
  console.log(JSON.stringify(told));
}
