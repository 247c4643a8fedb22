// Hold one immutable state, and tell who watches a part of it when that part is another value.

/**
 * @template {object} S
 * @param {S} initial
 */
export function store(initial) {
  let state = initial;
  /** @type {Set<() => void>} */
  const watchers = new Set();
  let telling = false;

  return {
    /** @returns {S} */
    get: () => state,
    /** Replace some fields, and tell the watchers once. @param {Partial<S>} change */
    set(change) {
      state = { ...state, ...change };
      if (telling) return; // a watcher changed it: the round that runs goes round again
      telling = true;
      try {
        let seen;
        do {
          seen = state;
          for (const watcher of watchers) watcher();
        } while (seen !== state);
      } finally {
        telling = false;
      }
    },
    /**
     * Call `tell` now, and again whenever one of the fields is no longer the same value.
     *
     * @param {(keyof S)[]} fields
     * @param {(state: S) => void} tell
     */
    watch(fields, tell) {
      /** @type {S | null} */
      let last = null;
      const look = () => {
        const [before, now] = [last, state];
        last = now;
        if (!before || fields.some((field) => !Object.is(before[field], now[field]))) tell(now);
      };
      watchers.add(look);
      look();
    },
  };
}

/**
 * @template {object} S
 * @typedef {ReturnType<typeof store<S>>} Store
 */
