// Types of the API's answers, as documented in `/openapi.json`.

/**
 * @typedef {number | string | boolean} Scalar        a non-finite number is "NaN", "Infinity" or "-Infinity"
 * @typedef {Scalar | Values[]} Values                as from tensor.tolist()
 *
 * @typedef {object} Tensor
 * @property {number[]} shape
 * @property {string} dtype
 * @property {boolean} requires_grad
 * @property {boolean} is_leaf
 * @property {string | null} grad_fn
 * @property {Values | null} values                   null for a large tensor
 * @property {Scalar | null} min
 * @property {Scalar | null} max
 * @property {Scalar | null} mean
 * @property {Scalar | null} norm
 * @property {number | null} zeros
 * @property {number | null} nan
 * @property {number | null} inf
 *
 * @typedef {"queued" | "running" | "done" | "failed" | "timed_out" | "out_of_memory" | "output_limit" | "killed" | "cancelled" | "interrupted"} Status
 * @typedef {"forward" | "loss" | "backward" | "update"} Phase
 *
 * @typedef {{index: number, start_line: number, end_line: number, output: string | null, stdout: string, stderr: string, markdown?: string[], markdown_below?: string[], name?: string, number?: number | null}} Cell
 * @typedef {{stream: "stdout" | "stderr", text: string, cell: number}} Printed
 * @typedef {Cell & {over: boolean, printed: readonly Printed[]}} CellShown    over: whether it had finished at the playhead
 * @typedef {{line: number, file: string | null, text: string, tensor: Tensor | null, graph: string | null, step: number | null}} Line    step: null if no step has ended since it ran
 * @typedef {{type: string, message: string, file: string | null, line: number | null, traceback: string, columns?: [number, number] | null}} ProgramError
 * @typedef {{id: string, names: string[], shape: number[], dtype: string, line: number | null}} Parameter
 * @typedef {{start: [number, number], end: [number, number], text: string}} Edit      lines 1-based, columns 0-based
 * @typedef {{title: string, edits: Edit[]}} Fix
 *
 * @typedef {object} Finding
 * @property {string} code
 * @property {"error" | "warning" | "note" | "good"} severity
 * @property {string | null} file
 * @property {number | null} line
 * @property {number | null} step
 * @property {string | null} node
 * @property {string} message
 * @property {string} why
 * @property {Fix | null} [fix]
 * @property {number | null} [pass]               the pass whose graph has the node; default: the step's main pass
 * @property {string} help                        address of the page that explains the code
 * @property {FileLine | null} [origin]             the line in a module of the user's own that made the node
 *
 * @typedef {{of: string, name: string, value: number | string | null, href: string}} WhyLink
 * @typedef {object} WhyTerm
 * @property {number | string} value
 * @property {number} share
 * @property {string} text                        the product with its numbers worked
 * @property {WhyLink | null} source
 * @property {WhyLink[]} reads
 *
 * @typedef {object} Why
 * @property {string} of
 * @property {number | null} step
 * @property {number | null} pass
 * @property {string} name
 * @property {"sum" | "function" | "input" | "start" | "unknown" | "absent"} kind
 * @property {number | string | null} value
 * @property {string} sentence
 * @property {{latex: string, mathml: string} | null} rule
 * @property {string | null} line                 the whole calculation of a leaf's gradient
 * @property {WhyTerm[]} terms
 * @property {number} omitted
 * @property {number | string | null} rest
 * @property {number | string | null} rounding
 * @property {WhyLink[]} reads
 * @property {string | null} node
 * @property {number | null} program_line
 * @property {{by: number, predicted: number, replay: object} | null} nudge
 * @property {Record<string, unknown> | null} replay        body of a replay for numbers that were not recorded
 * @property {Record<string, string>} published
 * @property {string | null} [note]               where the program's own `.grad` is None
 *
 * @typedef {object} Run
 * @property {string} id
 * @property {Status} status
 * @property {"program" | "expression" | "training" | "notebook"} kind
 * @property {string} title                       the owner's choice, else from the program
 * @property {string} program
 * @property {number | null} seed
 * @property {string} created
 * @property {string | null} expires
 * @property {number | null} duration_ms
 * @property {string | null} torch
 * @property {Cell[]} cells
 * @property {string} stdout
 * @property {string} stderr
 * @property {Printed[]} output                   the text of both streams, in order
 * @property {string} outcome                     how the run ended, in a few words
 * @property {boolean} truncated
 * @property {Line[]} lines
 * @property {ProgramError | null} error
 * @property {{id: string, nodes: number, edges: number}[]} graphs
 * @property {number} passes
 * @property {number} steps
 * @property {Parameter[]} parameters
 * @property {Finding[]} findings
 * @property {string[]} findings_omitted  codes of the rules that did not finish
 * @property {Record<string, string>} links
 * @property {Record<string, number>} [omitted]   numbers of lines, parameters and graphs after the first ones
 * @property {boolean} unfinished                 the program was stopped within a step, which is read as step `steps`
 * @property {{step: number, phase: Phase, node: string | null} | null} opens_at    the instant at which a page opens the run, and the node that it selects
 *
 * @typedef {object} RunHeading
 * @property {string} id
 * @property {Status} status
 * @property {string} title
 * @property {string} created
 * @property {number} steps
 *
 * @typedef {{file: string, line: number}} FileLine
 *
 * @typedef {object} GraphNode
 * @property {string} id
 * @property {"op" | "leaf" | "constant"} kind
 * @property {string} op
 * @property {string | null} call
 * @property {string | null} name
 * @property {string | null} file
 * @property {number | null} line
 * @property {[number, number] | null} columns
 * @property {string} module
 * @property {number} outputs
 * @property {string[]} saved
 * @property {string | null} parameter
 * @property {{graph: string, node: GraphNode} | null} backward_of   the node whose backward formula created this one, in a pass with create_graph
 * @property {FileLine | null} [origin]             the line in a module of the user's own that made it
 *
 * @typedef {{id: string, source: string, slot: number, target: string, input: number, gradient: boolean}} GraphEdge
 * @typedef {{id: string, roots: string[], nodes: GraphNode[], edges: GraphEdge[], omitted?: Record<string, number>}} Graph    omitted: numbers of nodes and edges that are left out
 *
 * @typedef {{name: string, norms: (Scalar | null)[], least: Scalar | null, greatest: Scalar | null, per_turn: number | null, zero: number | null}} MapSeries
 *
 * @typedef {object} MapNumbers                   the numbers of a map in several passes: a row for each pass
 * @property {string[]} boxes
 * @property {[number, number][]} links           indices of the boxes at the ends
 * @property {string[]} leaves                    nodes
 * @property {number[]} passes
 * @property {(Scalar | null)[][]} arrives        norms at the boxes, like `passed_on` and `parameters`
 * @property {(Scalar | null)[][]} passed_on
 * @property {(Scalar | null)[][]} parameters
 * @property {(MapSeries | null)[][]} series
 * @property {([number, number] | null)[][]} ran
 * @property {(Scalar | null)[][]} edges          norms on the links
 * @property {(Scalar | null)[][]} arrives_at_leaves
 * @property {number | null} next
 *
 * @typedef {object} ModuleParameter
 * @property {string} id
 * @property {string} node                        its leaf in the graph
 * @property {string} name
 * @property {number[]} shape
 * @property {Scalar | null} gradient             norms, as those of a module
 * @property {Scalar | null} value
 * @property {Scalar | null} update
 * @property {Scalar | null} ratio
 *
 * @typedef {object} ModuleRow
 * @property {string} path
 * @property {string} name
 * @property {string} group                       id of its first call in the map
 * @property {number | null} parent               index of the row of the module around it
 * @property {number} calls
 * @property {number} parameters                  number of elements
 * @property {Scalar | null} gradient
 * @property {Scalar | null} value
 * @property {Scalar | null} update
 * @property {Scalar | null} ratio                update / value
 * @property {Scalar | null} arrives              norm of the gradient at its outputs
 * @property {Scalar | null} relative             gradient, as a multiple of that of the reference
 * @property {ModuleParameter[]} own              of an open module
 * @property {boolean} inner                      there are modules or parameters inside
 * @property {string | null} node                 its last operation
 *
 * @typedef {object} ModelRows
 * @property {string} graph
 * @property {number} pass
 * @property {ModuleRow[]} rows
 * @property {ModuleParameter[]} outside
 * @property {number | null} reference            index of the row that others are compared with
 * @property {{headline: string, sentence: string, unit: string} | null} trend
 * @property {number} omitted
 *
 * @typedef {object} SearchHit
 * @property {string} node
 * @property {GraphNode["kind"]} kind
 * @property {string | null} name
 * @property {string} op
 * @property {number | null} line
 * @property {string | null} parameter
 * @property {{field: string, text: string | null}[]} matches    one for each term of the query
 * @property {string[]} way                       ids of the groups around the node, the outermost first
 * @property {string | null} reveal
 * @property {Scalar | null} norm                 of the gradient that arrived
 *
 * @typedef {{graph: string, pass: number | null, q: string, count: number, hits: SearchHit[]}} GraphSearch
 *
 * @typedef {{arrived: Tensor | null, used: Tensor | null}} Gradient
 * @typedef {{value: Tensor | null, grads: Gradient[]}} NodeNumbers
 *
 * @typedef {object} Pass
 * @property {number} index
 * @property {"backward" | "grad" | "nested" | "implicit"} kind
 * @property {number | null} parent
 * @property {string} graph
 * @property {number | null} line
 * @property {string[]} order
 * @property {Record<string, NodeNumbers>} [nodes]
 * @property {Record<string, Tensor | null>} [edges]
 * @property {string | null} [failed]             the node that raised
 * @property {FileLine | null} [origin]             the line in a module of the user's own that started the pass
 * @property {Record<string, number>} [omitted]     number of nodes that `order` leaves out
 *
 * @typedef {object} ParameterStep
 * @property {string} id
 * @property {string | null} name
 * @property {Tensor | null} value
 * @property {Tensor | null} contribution
 * @property {Tensor | null} grad_before
 * @property {Tensor | null} grad_after
 * @property {Tensor | null} value_after
 * @property {Record<string, Tensor | null>} state
 * @property {Tensor | null} [grad_used]               as the update used it, after clipping or scaling
 * @property {Tensor | null} [update]
 *
 * @typedef {{name: string, line: number, from: string, to: Tensor | null, graph: string | null, uses_gradient?: boolean}} Rebind
 *
 * @typedef {{step: number, text: string, tensor: Tensor | null}} EarlierValue    step: the last one in which the line had run
 *
 * @typedef {object} Step
 * @property {number} index
 * @property {{line: number, index: number} | null} iteration
 * @property {Partial<Record<Phase, number[]>>} lines
 * @property {Record<string, {text: string, tensor: Tensor | null, phase: Phase}>} values
 * @property {Record<string, EarlierValue>} earlier    values of lines that did not run in this step, but in an earlier one
 * @property {number} main
 * @property {Tensor | null} loss
 * @property {string | null} loss_name
 * @property {Record<string, Tensor | null>} losses      losses of the step's other passes, by name
 * @property {Pass[]} passes
 * @property {ParameterStep[]} parameters
 * @property {Rebind[]} rebinds
 * @property {Record<string, unknown> | null} optimizer
 * @property {{optimizer: string, parameters: string[], options: Record<string, unknown>}[]} [groups]    set if there are several
 * @property {FileLine[]} [update_origins]          lines of the user's own modules that are part of the update
 * @property {boolean} [summary]                   true if the numbers of its passes were not recorded
 *
 * @typedef {object} Surface                           answer of a replay of kind `surface`
 * @property {string} id
 * @property {"queued" | "running" | "done"} status
 * @property {number} step
 * @property {boolean | null} repeatable
 * @property {{sentence: string} | null} difference   how the replay differed from the recording
 * @property {string | null} reason                   why there is no grid
 * @property {string} [fixed]                         what the replay keeps from the recording
 * @property {string | null} [loss_name]
 * @property {{key: string, id: string, name: string | null, element: number[] | null}[]} [parameters]
 * @property {Record<string, Scalar[]>} [grid]        values of each element, by key
 * @property {(Scalar | null)[] | (Scalar | null)[][]} [loss]    at the grid's points
 * @property {Record<string, (Scalar | null)[]>} [path]          the trajectory: `step`, the values by key, `loss`
 * @property {Record<string, string>} links
 *
 * @typedef {{edge: string, node: string, title: string, slot: number, input: number, gradient: Tensor | null, factor?: string | null}} Flow    factor: the local derivative, as the program writes it
 * @typedef {{name: string, tensor: Tensor | null}} Saved
 *
 * @typedef {object} NodeDetail
 * @property {GraphNode} node
 * @property {NodeNumbers} numbers
 * @property {Saved[]} saved
 * @property {Flow[]} incoming
 * @property {Flow[]} outgoing
 * @property {number | null} rank
 * @property {string | null} source
 */

/**
 * @typedef {object} CheckedElement                    a gradient, and the slope by central differences
 * @property {number[]} element
 * @property {Scalar} recorded
 * @property {Scalar} computed
 * @property {Scalar} tolerance
 * @property {"right" | "kink" | "defined" | "wrong" | "unknown"} verdict
 *
 * @typedef {object} Checked                           answer of a replay of kind `check` or `factors`
 * @property {string} id
 * @property {boolean | null} repeatable
 * @property {{sentence: string} | null} difference
 * @property {string | null} reason
 * @property {string} [precision]
 * @property {{id: string, verdict: CheckedElement["verdict"], checked: number, of: number, elements: CheckedElement[]}[]} [leaves]
 * @property {{edge: string, target: string, equal: boolean, product: Tensor | null, gradient: Tensor | null}[]} [edges]
 *
 * @typedef {object} Distribution                      how the elements of a tensor are distributed
 * @property {number[]} shape
 * @property {Scalar} low                              the smallest finite element
 * @property {Scalar} high
 * @property {number[]} counts                         finite elements in bins of equal width
 * @property {{element: number[], value: Scalar}[]} largest    by magnitude
 * @property {{element: number[], value: Scalar} | null} bad   the first element that is not finite
 *
 * @typedef {object} Distributions                     answer of a replay of kind `distribution`
 * @property {{sentence: string} | null} difference
 * @property {string | null} reason
 * @property {Distribution | null} [value]
 * @property {(Distribution | null)[]} [gradients]
 *
 * @typedef {object} DataDependence                    how the rows of a node's value depend on the rows of the data
 * @property {string | null} node
 * @property {string | null} name
 * @property {number[]} shape
 * @property {number} dimension
 * @property {"apart" | "moved" | "later" | "mixed" | "none"} pattern
 * @property {{row: number, reaches: number[], count: number}[]} rows
 * @property {string | null} mixed_at
 * @property {string} sentence
 *
 * @typedef {object} Dependences                       answer of a replay of kind `dependence`
 * @property {{sentence: string} | null} difference
 * @property {string | null} reason
 * @property {number} [length]
 * @property {DataDependence[]} [data]
 *
 * @typedef {object} Divergence                        the first difference between two runs
 * @property {"structure" | "value" | "gradient" | "parameter" | null} where    null if there is none
 * @property {string} sentence
 * @property {number | null} step
 * @property {string | null} name
 * @property {string | null} node
 * @property {number | null} tolerance
 *
 * @typedef {object} Watch                             answer of a replay of kind `watch` or `seek`
 * @property {string} id
 * @property {"watch" | "seek"} what
 * @property {boolean | null} repeatable
 * @property {{sentence: string} | null} difference
 * @property {string | null} reason
 * @property {string} [expression]
 * @property {{step: number[], line: number[], value: (number | string | boolean | null)[], omitted: number}} [watched]
 * @property {{step: number, line: number, value: number | string | boolean} | null} [found]
 * @property {{message: string, step: number, line: number, count: number}[]} [errors]
 */

/**
 * Packed steps. Byte strings are arrays of little-endian numbers.
 *
 * @typedef {[shape: number[], dtype: string, requires_grad: boolean, is_leaf: boolean, grad_fn: string | null, packed: string | null, stats: boolean]} SpanRow
 * @typedef {{rows: SpanRow[], values: Uint8Array, stats: Uint8Array, counts: Uint8Array}} SpanTable
 *
 * @typedef {object} SpanPass
 * @property {Pass["kind"]} kind
 * @property {string} graph
 * @property {number | null} line
 * @property {string | null} failed
 * @property {Uint8Array} order
 * @property {number[]} outputs
 * @property {Uint8Array | null} value
 * @property {Uint8Array} arrived
 * @property {Uint8Array} used
 * @property {Uint8Array} edge
 * @property {SpanTable} table
 *
 * @typedef {object} SpanStep
 * @property {number} index
 * @property {Step["iteration"]} iteration
 * @property {number} main
 * @property {string[]} texts
 * @property {number[]} passes
 * @property {(number | null)[]} parents
 * @property {Step["optimizer"]} optimizer
 * @property {NonNullable<Step["groups"]>} groups
 * @property {(FileLine | null)[]} origins          of each pass
 * @property {FileLine[]} update_origins
 *
 * @typedef {"value" | "contribution" | "grad_before" | "grad_after" | "value_after" | "grad_used" | "update"} ParameterTensor
 * @typedef {{id: string, name: string | null, state: Record<string, number>} & Record<ParameterTensor, number>} SpanParameter
 * @typedef {{name: string, line: number, from: string, to: number, graph: string | null, uses_gradient: boolean}} SpanRebind
 *
 * @typedef {object} Span
 * @property {SpanStep[]} steps
 * @property {Partial<Record<Phase, number[]>>} lines
 * @property {[line: number, row: number, phase: Phase][]} values
 * @property {number} loss
 * @property {string | null} loss_name
 * @property {Record<string, number>} losses
 * @property {SpanParameter[]} parameters
 * @property {SpanRebind[]} rebinds
 * @property {SpanPass[]} passes
 * @property {SpanTable} table
 * @property {boolean} [summary]
 */

/**
 * Packed series: `index` has int32, the series have float64. `gaps` are positions without a number.
 *
 * @typedef {{index: {data: Uint8Array}, series: Record<string, {data: Uint8Array, gaps: number[]}>}} PackedSeries
 */

/** @typedef {{spans: Span[], next: number | null, earlier: Record<string, EarlierValue>}} PackedSteps */

/**
 * What the server found about code that a reader of a lesson wrote.
 *
 * @typedef {object} Judged
 * @property {boolean} passed
 * @property {string} sentence
 * @property {{index: number[], yours: number | string, tape: number | string} | null} wrong    the first element that differs
 * @property {number} differing                   of `of` elements
 * @property {number} of
 * @property {string | null} node                 name of the node to highlight
 * @property {number | null} mistake              index of the mistake that gives the same result
 * @property {ProgramError | null} error          its line counts from the first line of the code
 * @property {string[]} findings                  codes
 * @property {string} printed
 * @property {string | null} run                  id of the run of a program that was to be fixed
 */

/**
 * What the user did before the page's script was loaded: pressed a key, pressed a button, put the cursor into the program, chose
 * from a list or a file, or dropped one. `place` counts the buttons of the findings, which the script makes again; it is -1 for another button.
 *
 * @typedef {{kind: "key", event: KeyboardEvent, target: EventTarget | null}
 *   | {kind: "button", button: HTMLButtonElement, place: number}
 *   | {kind: "cursor", line: number, column: number}
 *   | {kind: "drop", carried: DataTransfer}
 *   | {kind: "choice", id: string, value: string | null}} EarlyInput
 */

/** @type {readonly Phase[]} */
export const PHASES = ["forward", "loss", "backward", "update"];

export {};
