// One line for each check; tests/proof/run counts them.

/** Runs a check, and says what became of it. */
export async function check(what, run) {
  try {
    await run();
    console.log(`ok      ${what}`);
  } catch (error) {
    console.log(`failed  ${what}\n${error.stack ?? error}`);
  }
}
