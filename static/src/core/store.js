// Keep one immutable state, and notify watchers when the fields that they watch change.

/**
 * Return a store with an initial state.
 *
 * @template {object} S
 * @param {S} initial
 */
export function store(initial) {
  let state = initial;
  /** @type {Set<() => void>} */
  const watchers = new Set();
  let notifying = false;

  return {
    /** @returns {S} */
    get: () => state,
    /** Replace some fields, and notify the watchers once. @param {Partial<S>} change */
    set(change) {
      state = { ...state, ...change };
      if (notifying) return; // a watcher changed the state: the loop below runs once more
      notifying = true;
      try {
        let notified;
        do {
          notified = state;
          for (const watcher of watchers) watcher();
        } while (notified !== state);
      } finally {
        notifying = false;
      }
    },
    /**
     * Call `react` now, and again whenever the value of one of the fields has changed.
     *
     * @param {(keyof S)[]} fields
     * @param {(state: S) => void} react
     */
    watch(fields, react) {
      /** @type {S | null} */
      let last = null;
      const check = () => {
        const [before, now] = [last, state];
        last = now;
        if (!before || fields.some((field) => !Object.is(before[field], now[field]))) react(now);
      };
      watchers.add(check);
      check();
    },
  };
}

/**
 * @template {object} S
 * @typedef {ReturnType<typeof store<S>>} Store
 */
