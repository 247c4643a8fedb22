// Describe the data that the server writes into the page of a lesson.

/** @import {Phase, Run} from "../../leaves/types.js" */

/**
 * What the stage shows while a passage is read.
 *
 * @typedef {object} LessonView
 * @property {string} recording
 * @property {number | null} step            null: the last one; may be negative
 * @property {Phase | null} phase
 * @property {number | null} playhead        the line at which forward work stops
 * @property {number | null} ran             how many nodes a backward phase has run; null means all
 * @property {readonly string[]} focus       the nodes in focus, by name
 * @property {string | null} select          the node in the inspector, by name
 * @property {readonly ("graph" | "curve" | "surface")[]} panes
 * @property {string | null} with            another recording, whose curves are laid over
 *
 * @typedef {object} Given
 * @property {string} root
 * @property {string} api                    path of the API
 * @property {string} lesson                 id of the lesson
 * @property {Readonly<Record<string, Run | null>>} runs    the recordings by name; null while a program is being recorded
 * @property {boolean} waiting              some programs are still being recorded
 * @property {import("../../leaves/edge-style.js").Legend} legend
 * @property {string} mode
 */

export {};
