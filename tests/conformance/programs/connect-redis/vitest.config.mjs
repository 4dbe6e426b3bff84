export default {test: {include: ["source/index_test.ts", "express_test.mjs"], testTimeout: 30_000}}
